"""The temporal set: every hop is needed and stated, nothing leaks, the same everywhere."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import bm25s
import pytest
import Stemmer

from agent_model.data.gold_teacher import gold_episodes, names_in
from autocoa_bench.errors import UserError
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.tasks import Split, questions_sha256, sample
from autocoa_bench.tasks.subquestions import dataset_name, main_question_id
from autocoa_bench.types import Passage, Question, Trajectory
from tasks import embedded
from tasks.closed_world.entities import Date, Side
from tasks.closed_world.text.wordings import wordings
from tasks.temporal import known, recent, reports, sets

TASKS = (sets.recent, sets.recent_sub, sets.known, sets.known_sub)
SIDES: tuple[Side, ...] = ("test", "train")
HERE = Path(sets.__file__).parent

GENERIC = """united rovers athletic wanderers albion sporting park road lane stadium arena hall
    insurance telecom energy motors foods logistics paints dairy upper lower port new bay heath"""

Case = tuple[str, Split]
CASES: tuple[Case, ...] = (("recent", "test"), ("recent", "train"), ("known", "test"))
MADE: dict[Case, Sequence[Question]] = {
    ("recent", "test"): recent.questions("test"),
    ("recent", "train"): recent.questions("train"),
    ("known", "test"): known.questions(),
}
TEXTS: dict[Case, dict[str, str]] = {
    (name, side): {
        passage.id: f"{passage.title}. {passage.text}"
        for passage in (recent.passages(side) if name == "recent" else known.passages())
    }
    for name, side in CASES
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path))


def mentions(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words.lower())}(?!\w)", text.lower()) is not None


def test_there_are_192_questions_of_either_sort_with_576_sub_questions() -> None:
    assert [len(task.load()) for task in TASKS] == [192, 576, 192, 576]
    assert [task.info.count for task in TASKS] == [192, 576, 192, 576]
    assert {task.info.groups for task in TASKS} == {("temporal",)}


def test_there_are_97_reports_from_the_days_of_the_papers() -> None:
    for side in SIDES:
        found = [each for each in reports.world(side).values() if each.kind in reports.COUNTS]
        dates = [each.facts["date"] for each in found]
        assert len(found) == 97
        assert Date(2025, 1, 16) <= min(dates) < max(dates) <= Date(2025, 3, 7)  # type: ignore[type-var]
        assert len({each.label for each in found}) == len({each.title for each in found}) == 97


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.info.name)
def test_questions_are_those_shipped(task: embedded.EmbeddedTask) -> None:
    assert questions_sha256(task.load()) == task.info.sha256
    for split in embedded.QUESTIONS_SHA256[task.info.name]:
        assert task.load(split)


def test_a_changed_generator_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedded.QUESTIONS_SHA256["recent"], "train", "0" * 64)
    monkeypatch.setitem(embedded.CORPUS_SHA256["temporal"], "test", "0" * 64)
    for make in (lambda: sets.recent.load("train"), sets.corpus):
        with pytest.raises(UserError, match="reinstall"):
            make()


def test_known_facts_are_not_trained_on() -> None:
    for task in (sets.known, sets.known_sub):
        assert task.info.corpora == {"test": "embedded-temporal"}
        with pytest.raises(UserError, match="no train split"):
            task.load("train")


def test_the_corpora_hold_every_gold_passage_and_are_written_once() -> None:
    for split, path in (("test", sets.corpus()), ("train", sets.train_corpus())):
        lines = path.read_text(encoding="utf-8").splitlines()
        ids = {re.match(r'{"id":"([^"]+)"', line)[1] for line in lines}  # type: ignore[index]
        assert len(ids) == len(lines)
        for name, side in CASES:
            if side == split:
                assert ids >= {h.passage_id for q in MADE[name, side] for h in q.hops}
        before = path.stat().st_mtime_ns
        assert (sets.corpus() if split == "test" else sets.train_corpus()) == path
        assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("case", CASES)
def test_every_hop_is_answered_verbatim_in_a_passage_of_its_own(case: Case) -> None:
    for question in MADE[case]:
        assert len({hop.passage_id for hop in question.hops}) == len(question.hops) == 3
        for hop in question.hops:
            assert mentions(TEXTS[case][hop.passage_id], hop.answer), question
        assert question.golden_answers[0] == question.hops[-1].answer


@pytest.mark.parametrize("case", CASES)
def test_chains_lead_from_answer_to_next_sub_question_and_passage(case: Case) -> None:
    for question in MADE[case]:
        for first, second in pairwise(question.hops):
            assert mentions(second.question, first.answer), question
            assert mentions(TEXTS[case][second.passage_id], first.answer), question


@pytest.mark.parametrize("case", CASES)
def test_no_hop_can_be_left_out(case: Case) -> None:
    """The question names neither bridges nor answer, and no earlier passage has the answer."""
    for question in MADE[case]:
        for words in (*question.golden_answers, *(hop.answer for hop in question.hops)):
            assert not mentions(question.text, words), question
        for hop in question.hops[:-1]:
            for gold in question.golden_answers:
                assert not mentions(TEXTS[case][hop.passage_id], gold), question


@pytest.mark.parametrize("case", CASES)
def test_all_hops_but_the_last_have_their_phrase_in_the_question(case: Case) -> None:
    for question in MADE[case]:
        first, second, last = question.hops
        assert first.phrase in second.phrase in question.text
        assert first.phrase
        assert not last.phrase


def test_recent_chains_start_from_a_report_of_every_kind_in_fair_shares() -> None:
    for side in SIDES:
        world = reports.world(side)
        kinds = Counter(world[q.hops[0].passage_id].kind for q in MADE["recent", side])
        assert set(kinds) == set(reports.COUNTS)
        assert min(kinds.values()) >= len(MADE["recent", side]) // 25


def test_recent_questions_end_in_many_facts() -> None:
    ends = Counter((q.hops[-1].passage_id, q.hops[-1].answer) for q in MADE["recent", "test"])
    assert max(ends.values()) <= 2
    assert len(ends) >= 130


def test_known_questions_start_from_every_sort_of_thing_and_spread_their_answers() -> None:
    made = MADE["known", "test"]
    kinds = Counter(question.hops[0].passage_id.split("-")[1] for question in made)
    assert min(kinds[kind] for kind in ("work", "picture", "music", "landmark", "element")) >= 15
    golds = Counter(question.golden_answers[0] for question in made)
    assert golds.most_common(1)[0][1] <= 12
    assert len(golds) >= 40


def test_the_two_seasons_share_no_name_word() -> None:
    names = [
        {
            word
            for each in reports.world(side).values()
            if each.kind not in reports.COUNTS
            for word in re.findall(r"[a-z]{3,}", each.name.lower())
        }
        for side in SIDES
    ]
    generic = set(GENERIC.split())
    assert names[0] & names[1] <= generic


def test_an_alias_stands_for_one_person_only() -> None:
    for side in SIDES:
        people = [each for each in reports.world(side).values() if each.kind == "person"]
        short = Counter(f"{each.name[0]}. {each.name.split()[1]}" for each in people)
        aliases = [alias for each in people for alias in each.aliases]
        assert len(aliases) >= 30
        assert {short[alias] for alias in aliases} == {1}


def test_passages_are_readable() -> None:
    for side in SIDES:
        for passage in recent.passages(side):
            assert 35 <= len(passage.text.split()) <= 110, passage
            assert not re.search(r"[{}]|  |\bthe the\b|\ba [aeio]", passage.text), passage


def test_sub_questions_carry_their_main_questions_id_and_golds_with_aliases() -> None:
    for task, sub in ((sets.recent, sets.recent_sub), (sets.known, sets.known_sub)):
        main = {question.id: question for question in task.load()}
        asked = Counter(main_question_id(question.id) for question in sub.load())
        assert asked == dict.fromkeys(main, 3)
        for question in sub.load():
            number = int(question.id[-1])
            hop = main[main_question_id(question.id)].hops[number - 1]
            assert question.id.endswith(f"/sub{number}")
            assert (question.text, question.hops) == (hop.question, (hop,))
            assert question.golden_answers[0] == hop.answer
            assert question.task == sub.info.name
    assert any(len(question.golden_answers) > 1 for question in sets.known_sub.load())


def test_the_last_sub_question_has_the_main_questions_golds() -> None:
    for task, sub in ((sets.recent, sets.recent_sub), (sets.known, sets.known_sub)):
        last = {main_question_id(q.id): q for q in sub.load() if q.id.endswith("/sub3")}
        for question in task.load():
            assert last[question.id].golden_answers == question.golden_answers


def test_a_limited_run_asks_the_sub_questions_of_its_own_main_questions() -> None:
    main = {question.id for question in sample(sets.recent.load(), 30, seed=4)}
    subs = Counter(main_question_id(q.id) for q in sample(sets.recent_sub.load(), 30, seed=4))
    assert set(subs) <= main
    assert set(subs.values()) == {3}


def test_a_real_sets_sub_questions_go_by_its_name_too() -> None:
    assert dataset_name("known@192:seed=1") == "known"
    assert main_question_id("row-7/sub12") == "row-7"
    assert main_question_id("a/sub0") == "a/sub0"


def test_a_third_of_the_recent_test_wordings_and_no_training_wording_is_held_out() -> None:
    held_out = sum(q.wording == "held-out" for q in MADE["recent", "test"])
    assert held_out == 64
    assert {q.wording for q in MADE["recent", "train"]} == {"shared"}
    for section, lines in wordings("asking", HERE).items():
        shared = {line for sort, found in lines.items() if sort[-1] != "*" for line in found}
        starred = {line for sort, found in lines.items() if sort[-1] == "*" for line in found}
        assert not shared & starred, section
        assert len(lines["ask"]) >= 4, section
        assert len(lines["ask*"]) >= 2, section


def test_known_facts_stand_once_and_name_their_source() -> None:
    for relation, rows in known.tables().items():
        subjects = Counter(row[0] for row in rows)
        assert max(subjects.values()) == 1, relation
        assert all(part == part.strip() != "" for row in rows for part in row), relation
    for table in (HERE / "known").glob("*.tsv"):
        assert "CC0-1.0" in table.read_text(encoding="utf-8").split("\nfact")[0], table


def test_everybody_and_every_city_that_a_fact_leads_to_has_a_country() -> None:
    tables = known.tables()
    makers = ("work.author", "picture.artist", "music.composer", "discovery.by")
    people = {row[1] for name in (*makers, "element.namesake") for row in tables[name]} - {"Homer"}
    assert people == {row[0] for row in tables["person.birth"]}
    assert {row[1] for row in tables["landmark.city"]} == {row[0] for row in tables["city.country"]}


def test_currencies_of_one_name_keep_their_own_aliases() -> None:
    golds = {q.golden_answers for q in sets.known_sub.load() if q.golden_answers[0] == "dollar"}
    assert golds
    assert all(sum("ian dollar" in gold for gold in each) <= 1 for each in golds)


def test_another_process_with_another_hash_seed_builds_the_same(tmp_path: Path) -> None:
    script = (
        "from tasks.temporal import sets as s; s.corpus(); s.train_corpus(); s.known_sub.load(); "
        "s.recent_sub.load(); s.recent_sub.load('train'); s.recent.load('train')"
    )
    environment = os.environ | {"PYTHONHASHSEED": "4242", "AUTOCOA_BENCH_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


STOPWORDS = """a an and are as at be but by for if in into is it no not of on or such that the their
    then there these they this to was will with"""
Find = Callable[[Sequence[str]], list[list[str]]]


@pytest.fixture(scope="module")
def find() -> Find:
    """The three passages of the test corpus that BM25 ranks first, as ids, for each query."""
    passages: list[Passage] = [*recent.passages("test"), *known.passages()]

    def tokens(texts: Sequence[str]) -> object:
        return bm25s.tokenize(
            list(texts),
            stopwords=STOPWORDS.split(),
            stemmer=Stemmer.Stemmer("porter"),
            show_progress=False,
        )

    index = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
    index.index(tokens([f'"{p.title}"\n{p.text}' for p in passages]), show_progress=False)

    def top3(queries: Sequence[str]) -> list[list[str]]:
        rows, _ = index.retrieve(tokens(queries), k=3, show_progress=False)
        return [[passages[place].id for place in row] for row in rows]

    return top3


@pytest.mark.parametrize("name", ["recent", "known"])
def test_a_search_by_name_or_sub_question_finds_the_gold_passage(find: Find, name: str) -> None:
    hops = [hop for question in MADE[name, "test"] for hop in question.hops]
    for queries, least in (
        ([names_in(hop.question) for hop in hops], 0.98),
        ([hop.question for hop in hops], 0.93),
    ):
        hits = [hop.passage_id in found for hop, found in zip(hops, find(queries), strict=True)]
        assert sum(hits) / len(hits) >= least


@pytest.mark.parametrize("name", ["recent", "known"])
def test_the_whole_question_does_not_find_where_its_answer_stands(find: Find, name: str) -> None:
    made = MADE[name, "test"]
    found = find([question.text for question in made])
    hits = [q.hops[-1].passage_id in ids for q, ids in zip(made, found, strict=True)]
    assert sum(hits) / len(hits) <= 0.05


def test_the_gold_teacher_can_follow_the_train_chains() -> None:
    search = BM25(str(sets.train_corpus()), top_k=3)
    asked = [*MADE["recent", "train"][:25], *sets.recent_sub.load("train")[:25]]
    lessons = [lesson for _, lesson in gold_episodes(asked, search, seed=0, top_k=(3,))]
    followed = [lesson for lesson in lessons if isinstance(lesson, Trajectory)]
    assert len(followed) >= 45
    assert max(sum(step.kind == "search" for step in each.steps) for each in followed) >= 3
