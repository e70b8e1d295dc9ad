"""Names and answers are compared whatever their encoding, and nothing else becomes equal."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocoa_bench.scoring import load_scorers
from autocoa_bench.scoring.folding import fold, folded_exact_match, title_key
from autocoa_bench.scoring.text import exact_match, normalise

SAME_TITLE = {
    "HTML entity": ("Simon &amp; Simon", "Simon & Simon"),
    "HTML entity escaped twice": ("Simon &amp;amp; Simon", "Simon & Simon"),
    "entity without its semicolon": ("Simon &amp Simon", "Simon & Simon"),
    "entities of typography": ("Hall &amp; Oates &ndash; Don&rsquo;t", "Hall & Oates - Don't"),
    "decimal entity": ("O&#39;Neill", "O'Neill"),
    "hexadecimal entity": ("O&#x27;Neill", "O’Neill"),
    "named accent": ("Caf&eacute; Tacvba", "Café Tacvba"),
    "quote entities": ("&quot;Heroes&quot;", "“Heroes”"),
    "entity of a hard space": ("New&nbsp;York", "New York"),
    "decomposed accents": (unicodedata.normalize("NFD", "Beyoncé"), "Beyoncé"),
    "two marks in either order": ("Nguye\u0323\u0302n", "Nguy\u1ec7n"),
    "decomposed Hangul": (unicodedata.normalize("NFD", "서울"), "서울"),
    "decomposed voicing": (unicodedata.normalize("NFD", "ガンダム"), "ガンダム"),
    "half width kana": ("ｶﾞﾝﾀﾞﾑ", "ガンダム"),
    "missing accents": ("Antonin Dvorak", "Antonín Dvořák"),
    "stroked letters": ("Lodz", "Łódź"),
    "curly apostrophe": ("Schindler’s List", "Schindler's List"),
    "modifier apostrophe": ("Hawaiʻi", "Hawai'i"),
    "acute accent as an apostrophe": ("Rock ´n´ Roll", "Rock 'n' Roll"),
    "en dash": ("Michelson–Morley experiment", "Michelson-Morley experiment"),
    "hard hyphen": ("Coca\u2011Cola", "Coca-Cola"),
    "minus sign": ("Boeing X\u221237", "Boeing X-37"),
    "full width": ("ＡＢＣ（１９９０）", "ABC(1990)"),
    "ligature": ("The Oﬃce", "The Office"),
    "underscores": ("Simon_&_Simon", "Simon & Simon"),
    "hard space": ("New\u00a0York City", "New York City"),
    "soft hyphen": ("Zeit\u00adgeist", "Zeitgeist"),
    "zero width space and byte order mark": ("\ufeffOslo\u200b", "Oslo"),
    "direction marks": ("\u202aOslo\u202c", "Oslo"),
    "several spaces": (" New  York\t", "New York"),
    "sharp s": ("Weisse Strasse", "Weiße Straße"),
    "Turkish i": ("ISTANBUL", "İstanbul"),
    "final sigma": ("ΟΔΥΣΣΕΥΣ", "Οδυσσεύς"),
    "corner brackets": ("《三体》", "三体"),
    "middle dots": ("米歇尔・奥巴马", "米歇尔·奥巴马"),
    "foreign digits": ("١٩٩٠", "1990"),
}


@pytest.mark.parametrize(("gold", "title"), SAME_TITLE.values(), ids=SAME_TITLE)
def test_titles_of_one_page_in_different_encodings_are_equal(gold: str, title: str) -> None:
    assert title_key(gold) == title_key(title)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Simon", "Simon & Simon"),
        ("Paris", "Paris (song)"),
        ("A", "The"),
        ("!!!", "???"),
        ("Henry IV", "Henry V"),
        ("か", "が"),
        ("कि", "क"),
        ("10²", "102"),
        ("½", "12"),
        ("P&LT", "P<"),
        ("1990", "1991"),
        ("AT&T", "AT amp T"),
    ],
)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert title_key(one) != title_key(other)
    assert not folded_exact_match(one, [other])


SAME_ANSWER = {name: pair for name, pair in SAME_TITLE.items() if name != "underscores"}


@pytest.mark.parametrize(("gold", "answer"), SAME_ANSWER.values(), ids=SAME_ANSWER)
def test_the_folded_scorer_calls_other_encodings_right(gold: str, answer: str) -> None:
    assert folded_exact_match(answer, ["no", gold]) == 1.0
    assert folded_exact_match(gold, [answer]) == 1.0


@pytest.mark.parametrize(
    ("prediction", "gold", "folded", "plain"),
    [
        ("A", "The The", 0.0, 1.0),
        ("the the", "The The", 1.0, 1.0),
        ("The The.", "“The The”", 1.0, 0.0),
        ("The", "A", 0.0, 1.0),
        ("!", "?", 0.0, 1.0),
        ("!!!", "!!!", 1.0, 1.0),
        ("…", "a", 0.0, 0.0),
        ("", "The", 0.0, 1.0),
        ("The The", "Oslo", 0.0, 0.0),
        ("a", "A", 1.0, 1.0),
    ],
)
def test_answers_without_words_are_equal_only_as_they_are_written(
    prediction: str, gold: str, folded: float, plain: float
) -> None:
    assert folded_exact_match(prediction, [gold]) == folded
    assert exact_match(prediction, [gold]) == plain


@given(st.text(max_size=12), st.text(max_size=12))
def test_what_exact_match_calls_right_the_folded_scorer_does_too(one: str, other: str) -> None:
    if exact_match(one, [other]) and normalise(one):
        assert folded_exact_match(one, [other]) == 1.0


def test_what_exact_match_calls_right_stays_right_where_folding_tells_it_apart() -> None:
    assert exact_match("ATampT", ["AT&amp;T"]) == folded_exact_match("ATampT", ["AT&amp;T"]) == 1.0


@given(st.text(max_size=20))
def test_a_text_is_equal_to_itself_decomposed(text: str) -> None:
    assert fold(text) == fold(unicodedata.normalize("NFD", text))
    assert folded_exact_match(unicodedata.normalize("NFD", text), [text]) == 1.0


def test_the_folded_scorer_is_registered_beside_em_and_em_stays_squads() -> None:
    scorers = load_scorers(["em", "em_folded"])
    cases = ("Beyoncé", ["Beyonce"])
    assert [scorer(*cases) for scorer in scorers.values()] == [0.0, 1.0]


@pytest.mark.parametrize("text", ["&amp;" * 20_000, "&" + "amp;" * 20_000, "é&#" * 20_000])
def test_folding_takes_time_in_proportion_to_the_text(text: str) -> None:
    start = time.process_time()
    fold(text)
    assert time.process_time() - start < 1.0
