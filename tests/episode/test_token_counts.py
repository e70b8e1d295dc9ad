"""Counts of tokens: estimates that are bounds in any script, and servers' counts that cannot be."""

import pytest

from agent_model.dialects import Agent, SearchR1
from autocoa_bench.episode import estimate_tokens, n_cut_prompts
from autocoa_bench.types import Budget, Completion, Generate, Passage, Trajectory
from support.play import play

COUNTED: dict[str, tuple[str, int]] = {
    "English": (
        "Douglas Adams was an English author, best known for The Hitchhiker's Guide to the Galaxy.",
        22,
    ),
    "German": (
        "Die Donaudampfschifffahrtsgesellschaft wurde 1829 in Wien gegründet.",
        32,
    ),
    "Welsh": ("Caerdydd yw prifddinas Cymru a'r ddinas fwyaf yn y wlad", 27),
    "Swahili": ("Nairobi ni mji mkuu wa Kenya na jiji kubwa zaidi nchini humo", 24),
    "Pinyin": (
        "beijing shi zhonghua renmin gongheguo de shoudu weiyu huabei pingyuan",
        29,
    ),
    "Vietnamese": ("Hà Nội là thủ đô của nước Cộng hòa xã hội chủ nghĩa Việt Nam", 50),
    "Turkish": ("İstanbul, Türkiye'nin en kalabalık şehri, ekonomik ve kültürel başkentidir", 39),
    "Chinese": ("北京是中华人民共和国的首都，位于华北平原的北部，背靠燕山。", 54),
    "Japanese": ("東京都は日本の首都であり、世界最大の都市圏を形成している", 47),
    "Korean": ("서울은 대한민국의 수도이자 최대 도시이다", 46),
    "Arabic": ("القاهرة هي عاصمة جمهورية مصر العربية وأكبر مدنها", 44),
    "Hebrew": ("ירושלים היא עיר הבירה של מדינת ישראל והעיר הגדולה ביותר בה", 57),
    "Hindi": ("नई दिल्ली भारत की राजधानी है और यह दिल्ली का एक जिला है", 64),
    "Tamil": ("சென்னை தமிழ்நாட்டின் தலைநகரமும் இந்தியாவின் நான்காவது பெரிய நகரமும் ஆகும்", 129),
    "Thai": ("กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุดของประเทศไทย", 121),
    "Russian": ("Москва является столицей Российской Федерации и крупнейшим городом", 55),
    "Greek": ("Η Αθήνα είναι η πρωτεύουσα και η μεγαλύτερη πόλη της Ελλάδας", 51),
    "Georgian": ("თბილისი საქართველოს დედაქალაქი და უდიდესი ქალაქია", 93),
    "Amharic": ("አዲስ አበባ የኢትዮጵያ ዋና ከተማ ናት", 57),
    "emoji": ("😀🎉👩\u200d👩\u200d👧\u200d👦🇩🇪🏳️\u200d🌈", 39),
    "digits": ("3141592653 58979 3238462643 3832 795028841971", 45),
    "dates": ("1999-12-31, 24.12.2001, 3/4/2020; 12:30-14:45", 45),
    "hexadecimal": ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 59),
    "base64": ("VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZw==", 47),
    "random letters": ("xqzjkv wpfmrt bgdhkl zxcvbn qwrtpl mnbvcx lkjhgf", 30),
    "long random letters": ("qwxzpkjvbnmfghrtlkdszqxwvpmkjhgbntrfcdswqzxplkmjn", 35),
    "a genome": ("acgtttagcaggatccatgcatgcaagtctgatcgatcgtagctagctgatcgtagc", 30),
    "a protein": ("MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHG", 40),
    "capitals": ("THE MAYOR OF THE TOWNSHIP OF SPRINGFIELD WAS ELECTED IN NOVEMBER", 27),
    "code": (
        "def f(x_1: list[int]) -> dict[str, Any]: return {str(k): [v] * 2 for k, v in x_1}",
        39,
    ),
    "an address": ("https://en.wikipedia.org/wiki/Special:Search?search=xkcd&go=Go&ns0=1", 28),
    "LaTeX": ("\\frac{\\alpha_1}{\\beta^2} \\leq \\sum_{i=1}^{n} x_i \\cdot \\sqrt{y}", 34),
    "a chemical name": (
        "2-[4-(2-methylpropyl)phenyl]propanoic acid, (RS)-1,1'-binaphthyl-2,2'-diol",
        38,
    ),
    "punctuation": ("!?.,;:()[]{}<>@#$%^&*-_=+~`|/", 24),
    "Slavic names": ("Szczepkowski Krzysztof Przybyszewski Mkhitaryan Hrvatska Tkachenko", 32),
    "mathematics": ("∀ε>0 ∃δ>0: |x−a|<δ ⇒ |f(x)−f(a)|<ε", 33),
}
"""Texts, and their tokens by SmolLM2's tokenizer or R1-Distill-Qwen-7B's, whichever finds more."""


@pytest.mark.parametrize(("text", "tokens"), COUNTED.values(), ids=COUNTED)
def test_an_estimate_is_not_below_what_tokenizers_find_in_any_script(
    text: str, tokens: int
) -> None:
    assert tokens <= estimate_tokens(text) <= len(text.encode())


def test_an_estimate_of_english_is_about_twice_its_tokens() -> None:
    text, tokens = COUNTED["English"]
    assert estimate_tokens(text) <= 2.2 * tokens


@pytest.mark.parametrize("text", ["", "\ud800", "a\0b"])
def test_an_estimate_has_a_number_for_any_text(text: str) -> None:
    assert estimate_tokens(text) <= len(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(("text", "tokens"), COUNTED.values(), ids=COUNTED)
def test_an_episode_that_nobody_counts_stays_within_its_budget_in_any_script(
    text: str, tokens: int
) -> None:
    budget = Budget(context_tokens=2048, answer_tokens=16, max_actions=99)
    passages = [Passage(str(n), "T", text * 2) for n in range(3)]
    replies = ["<search> x </search>"] * 99 + ["Anna"]
    trajectory, events = play(SearchR1(), replies, passages, budget)
    assert trajectory.ending == "forced-context"
    for event in events:
        if isinstance(event, Generate):
            sent = "".join(message.content for message in event.prompt.opening)
            sent += event.prompt.continuation
            shown = sent.count(text)
            others = len(sent.replace(text, "")) // 3  # English
            assert shown * tokens + others + event.max_tokens <= budget.context_tokens


def searches(counts: list[int | None], sampled: int | None = 9, words: int = 30) -> Trajectory:
    """An episode of three searches and an answer, in which the server counts its prompts so."""
    texts = ["<search> who built it </search>"] * (len(counts) - 1) + ["<answer>Anna</answer>"]
    replies = [
        Completion(text, prompt_tokens=count, completion_tokens=sampled)
        for text, count in zip(texts, counts, strict=True)
    ]
    return play(SearchR1(), replies, [Passage("1", "T", "word " * words)])[0]


@pytest.mark.parametrize(
    ("counts", "cut"),
    [
        ([150, 220, 290, 360], 0),
        ([150, 220, 120, 120], 2),  # Ollama keeps a half of its context
        ([150, 175, 175, 175], 2),  # a window that moves along
        ([40, 41, 42, 43], 4),  # the opening alone was too long
        ([150, 30, 30, 30], 3),  # what was not cached
        ([None, None, None, None], 0),
        ([150, None, 290, None], 0),
    ],
)
def test_prompts_of_which_a_server_counts_too_few_tokens_are_cut(
    counts: list[int | None], cut: int
) -> None:
    assert n_cut_prompts(searches(counts)) == cut


def room_after(completion: Completion) -> int:
    """The tokens that are requested after a completion, in a context of 4,096."""
    budget = Budget(context_tokens=4096, step_tokens=4096)
    _, events = play(Agent(), [completion, "\\boxed{Anna}"], [], budget)
    requests = [event for event in events if isinstance(event, Generate)]
    return requests[1].max_tokens


SEARCH = "<begin_search> who built it </end_search>"


@pytest.mark.parametrize("prompt", [7, 50_000])  # of 70 words in 461 bytes
@pytest.mark.parametrize("sampled", [None, 12])
def test_a_prompt_whose_count_cannot_be_true_is_estimated(prompt: int, sampled: int | None) -> None:
    counted = Completion(SEARCH, prompt_tokens=prompt, completion_tokens=sampled)
    uncounted = Completion(SEARCH, completion_tokens=sampled)
    assert room_after(counted) == room_after(uncounted)


def test_tokens_that_were_sampled_out_of_sight_take_no_room() -> None:
    seen = Completion(SEARCH, prompt_tokens=150, completion_tokens=estimate_tokens(SEARCH))
    unseen = Completion(SEARCH, prompt_tokens=150, completion_tokens=3000)
    assert room_after(unseen) == room_after(seen)
