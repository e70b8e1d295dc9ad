"""BM25 finds a passage however its words are written: short, accented, full-width, unspaced."""

import asyncio
from pathlib import Path

import pytest

from autocoa_bench.search import terms
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.factory import with_earlier_tokens
from support.passages import write_corpus

pytestmark = pytest.mark.usefixtures("cache")

SAME_TERMS = [
    ("curly apostrophe", "O’Brien’s boat", "O'Brien's boat"),
    ("possessive", "Anna's boat", "Anna boat"),
    ("modifier letter as apostrophe", "Hawaiʻi", "Hawai'i"),
    ("dash of any length", "Jean–Luc — Picard", "Jean-Luc Picard"),
    ("accent", "Beyoncé in São Paulo", "Beyonce in Sao Paulo"),
    ("decomposed accent", "Zu\u0308rich", "Zürich"),
    ("letter with a stroke", "Søren Łódź", "Soren Lodz"),
    ("ligature", "ﬁnal ﬂight", "final flight"),
    ("full-width letters", "Ａｐｏｌｌｏ　９", "Apollo 9"),
    ("half-width kana", "ｶﾞﾗｽ", "ガラス"),
    ("decomposed kana", "か\u3099", "が"),
    ("decomposed Hangul", "\u1109\u1165\u110b\u116e\u11af", "서울"),
    ("compatibility ideograph", "\uf907", "\u9f9c"),
    ("subscript", "CO₂", "CO2"),
    ("Arabic digits", "Apollo ٩", "Apollo 9"),
    ("vowel signs of Arabic", "العَرَبِيَّة", "العربية"),
    ("stretched Arabic", "الـــعربية", "العربية"),
    ("sharp s", "STRASSE", "straße"),
    ("final sigma", "ΣΊΣΥΦΟΣ", "Σίσυφος"),
    ("dotted capital", "İstanbul", "istanbul"),
    ("soft hyphen", "co\u00adoperate", "cooperate"),
    ("zero-width space", "Apol\u200blo", "Apollo"),
    ("underscores", "Apollo_9", "Apollo 9"),
    ("points between initials", "J.R.R. Tolkien", "J. R. R. Tolkien"),
]


def found(tmp_path: Path, texts: list[str], query: str) -> list[str]:
    """The texts that a query finds, best first."""
    rows = [(str(number), "", text) for number, text in enumerate(texts)]
    engine = BM25(write_corpus(tmp_path / "c.jsonl", rows))
    return [passage.text for passage in asyncio.run(engine.search(query))]


def folded(text: str) -> list[str]:
    return [terms.folded(term) for term in terms.index_terms(text)]


@pytest.mark.parametrize(
    ("one", "other"),
    [pair for _, *pair in SAME_TERMS],
    ids=[name for name, *_ in SAME_TERMS],
)
def test_two_spellings_of_one_text_have_the_same_terms(one: str, other: str) -> None:
    assert folded(one) == folded(other) != []


@pytest.mark.parametrize(
    ("right", "wrong", "query"),
    [
        ("Apollo 9", "Apollo 8", "Apollo 9"),
        ("Apollo 9", "Apollo 11", "9"),
        ("vitamin C", "vitamin K", "vitamin C"),
        ("a novel named V", "a novel named Q", "the novel V."),
        ("Malcolm X spoke", "Malcolm Y spoke", "Malcolm X's speech"),
        ("the language C", "the language D", "c"),
    ],
)
def test_a_word_of_one_character_decides(
    tmp_path: Path, right: str, wrong: str, query: str
) -> None:
    assert found(tmp_path, [wrong, right, "another matter"], query)[0] == right


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("北京是中华人民共和国的首都。", "首都"),
        ("北京是中华人民共和国的首都。", "中国首都是哪里"),
        ("東京は日本の首都である", "首都"),
        ("アポロ９号は宇宙船", "アポロ 9"),
        ("富士山", "山"),
        ("서울은 대한민국의 수도이다", "수도"),
        ("서울은 대한민국의 수도이다", "서울"),
        ("กรุงเทพเป็นเมืองหลวงของไทย", "เมืองหลวง"),
        ("ພາສາລາວ", "ລາວ"),
        ("ភ្នំពេញជារាជធានី", "រាជធានី"),
        ("မြန်မာနိုင်ငံ", "နိုင်ငံ"),
        ("दिल्ली भारत की राजधानी है", "राजधानी"),
        ("القاهرة عاصمة مصر", "عاصمة"),
        ("Wikipedia在线百科 Tokyo大学", "Tokyo"),
        ("Wikipedia在线百科 Tokyo大学", "大学"),
    ],
)
def test_text_of_any_script_is_found(tmp_path: Path, text: str, query: str) -> None:
    assert found(tmp_path, ["quite another text", "别的东西 ほか 기타 อื่น", text], query)[0] == text


def test_neighbouring_characters_outweigh_scattered_ones(tmp_path: Path) -> None:
    texts = ["都市在首位", "本国首都大"]
    assert found(tmp_path, texts, "首都") == ["本国首都大"]


def test_the_ending_after_an_apostrophe_is_no_word(tmp_path: Path) -> None:
    texts = ["the letter S", "a T and an M", "Anna’s boat"]
    assert found(tmp_path, texts, "Anna's boats don't sail, I'm sure") == ["Anna’s boat"]


def test_the_vowel_signs_of_indic_scripts_are_letters(tmp_path: Path) -> None:
    assert folded("हिन्दी") == ["हिन्दी"]
    assert folded("हिन्दी") != folded("हन्द")


def test_the_terms_of_earlier_runs_stay_available(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "c.jsonl", [("1", "Apollo 9", "naïve"), ("2", "", "other")])
    engine = BM25(path, tokens=1)
    assert engine.spec.settings["tokens"] == r"\b\w\w+\b"
    assert asyncio.run(engine.search("9 naive")) == ()


@pytest.mark.parametrize(
    ("search", "resumed"),
    [
        ("bm25", "bm25:tokens=1"),
        ("bm25:k1=1.2", "bm25:tokens=1,k1=1.2"),
        ("bm25:tokens=2", "bm25:tokens=2"),
        ("hybrid:engines=bm25+dense,k=10", "hybrid:engines=bm25:tokens=1+dense,k=10"),
        ("dense", "dense"),
    ],
)
def test_an_earlier_run_resumes_with_its_own_terms(search: str, resumed: str) -> None:
    assert with_earlier_tokens(search, {"1.tokens": r"\b\w\w+\b", "k": 60}) == resumed
    assert with_earlier_tokens(search, {"tokens": "unicode"}) == search


@pytest.mark.parametrize(
    ("text", "unspaced"),
    [
        ("北京是中国的首都 (NPC)", True),
        ("ภาษาไทย", True),
        ("Beijing (北京) is a city", False),
        ("", False),
    ],
)
def test_a_corpus_of_unspaced_text_is_recognised(text: str, unspaced: bool) -> None:
    assert terms.is_unspaced(text) is unspaced
