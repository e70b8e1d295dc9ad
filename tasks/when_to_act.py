"""When to act: questions that need no search beside questions that do.

Three kinds, as many of each: `known` asks for facts that every language model knows, `given` states
the answer in front of the question, and `unknown` asks about the closed world, over its corpus. The
first two are answered best without a search, the third cannot be. The facts and statements are data
in `tasks/facts`. No fact is in both splits, but 29 subjects are, with different facts.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from autocoa_bench.tasks import Split
from autocoa_bench.types import Question
from tasks.closed_world.encyclopedia import Statement, encyclopedia
from tasks.closed_world.questions.build import all_questions
from tasks.closed_world.questions.composing import (
    Composer,
    Wording,
    by_section,
    collect,
    in_turn,
    numbered,
)
from tasks.closed_world.rng import Rng
from tasks.closed_world.text.grammar import polished
from tasks.closed_world.text.wordings import table_rows
from tasks.embedded import EmbeddedTask

NAME = "when-to-act"

COUNTS: dict[Split, int] = {"test": 100, "train": 500}
"""The number of questions of each kind."""

_FACTS = Path(__file__).parent / "facts"
_GIVEN = "given.tsv"
_SENTENCES = {
    section: sentence
    for sections, sentence in table_rows(_FACTS / _GIVEN)
    for section in sections.split()
}
"""The sentence that states each relation."""
_UNKNOWN = {"nq": "single", "triviaqa": "single", "hotpotqa": "bridge", "bamboogle": "2hop"}
"""The tasks that `unknown` questions come from, in equal numbers, and their kind in each."""


class KnownFact(NamedTuple):
    """A well-known fact; `golds` are the answer and its other names."""

    relation: str
    subject: str
    golds: tuple[str, ...]
    wordings: tuple[str, ...]

    def question(self, wording: int) -> Question:
        """The question in one of its wordings, without an id until the set is complete."""
        text = self.wordings[wording % len(self.wordings)].format(x=self.subject)
        return Question("", text, self.golds, NAME, "known", "shared")


@cache
def facts() -> tuple[KnownFact, ...]:
    """All well-known facts, in the order of their files."""
    facts = []
    for path in sorted(_FACTS.glob("*.tsv")):
        if path.name != _GIVEN:
            rows = table_rows(path)
            wordings = tuple(row[1] for row in rows if row[0] == "ask")
            for kind, subject, *golds in rows:
                if kind == "fact":
                    facts.append(KnownFact(path.stem, subject, tuple(golds), wordings))
    return tuple(facts)


def facts_of(split: Split) -> list[KnownFact]:
    """The facts of a split, shuffled: one per question to test, the others to train."""
    shuffled = Rng(NAME).shuffled(facts())
    test_count = COUNTS["test"]
    return shuffled[:test_count] if split == "test" else shuffled[test_count:]


@cache
def questions(split: Split) -> tuple[Question, ...]:
    composer = Composer(NAME, encyclopedia(split))
    count = COUNTS[split]
    questions = [
        *_known_questions(split, count),
        *_given_questions(composer, count),
        *_unknown_questions(composer, split, count),
    ]
    return numbered(f"embedded-{NAME}-{split}", composer.rng.shuffled(questions))


def _known_questions(split: Split, count: int) -> list[Question]:
    """Each fact once to test, so that questions are independent; in all its wordings to train."""
    split_facts = facts_of(split)
    if split == "test":
        return [fact.question(number) for number, fact in enumerate(split_facts[:count])]
    return [fact.question(wording) for wording in (0, 1) for fact in split_facts][:count]


def _unknown_questions(composer: Composer, split: Split, count: int) -> list[Question]:
    unknown: list[Question] = []
    for task, kind in _UNKNOWN.items():
        candidates = [question for question in all_questions(task, split) if question.kind == kind]
        unknown += composer.rng.shuffled(candidates)[: count // len(_UNKNOWN)]
    return [replace(question, task=NAME, kind="unknown") for question in unknown]


Compose = Callable[[Composer, Statement, Wording], tuple[str, Statement] | None]
"""The text of a question, and the statement that answers it; None if the statement admits none."""


def _given_questions(composer: Composer, count: int) -> list[Question]:
    """Half state one fact; a quarter add the same fact of another entity; a quarter take two steps.

    Within each of the three, the relations take turns.
    """
    askable = [statement for statement in composer.book.statements if composer.asks(statement)]
    quarter = count // 4
    sizes = {_one_fact: count - 2 * quarter, _with_distractor: quarter, _two_steps: quarter}
    questions: list[Question] = []
    for compose, size in sizes.items():
        groups = by_section(askable)
        statements = in_turn(map(composer.rng.shuffled, groups.values()))
        questions += _compose_several(composer, compose, iter(statements), size)
    return questions


def _compose_several(
    composer: Composer, compose: Compose, statements: Iterator[Statement], count: int
) -> list[Question]:
    def question(number: int) -> Question | None:
        wording = composer.wording_of(number)
        composed = compose(composer, next(statements), wording)
        if composed is None:
            return None
        text, answer = composed
        return Question("", text, composer.golds(answer), NAME, "given", wording)

    return collect(question, lambda question: question.text, count)


def _one_fact(composer: Composer, statement: Statement, wording: Wording) -> tuple[str, Statement]:
    """The fact, then the question."""
    return f"{_sentence(composer, statement)} {_ask(composer, statement, wording)}", statement


def _with_distractor(
    composer: Composer, statement: Statement, wording: Wording
) -> tuple[str, Statement] | None:
    """The fact and the same fact of another entity, in either order, then the question."""
    distractors = [
        candidate
        for candidate in by_section(composer.book.statements)[statement.section]
        if candidate.about != statement.about and candidate.surface != statement.surface
    ]
    if not distractors:
        return None
    pair = (statement, composer.rng.pick(distractors))
    sentences = " ".join(composer.rng.shuffled([_sentence(composer, fact) for fact in pair]))
    return f"{sentences} {_ask(composer, statement, wording)}", statement


def _two_steps(
    composer: Composer, statement: Statement, wording: Wording
) -> tuple[str, Statement] | None:
    """Two facts, the second about the object of the first; the question does not name that."""
    continuations = [
        candidate
        for candidate in composer.book.about.get(statement.target or "", ())
        if composer.asks(candidate) and candidate.target != statement.about
    ]
    if not continuations or "np" not in composer.sections[statement.section]:
        return None
    second = composer.rng.pick(continuations)
    subject = composer.book.name(statement.about)
    phrase = composer.words(statement.section, "np", wording).format(x=subject)
    pair = (statement, second)
    sentences = " ".join(composer.rng.shuffled([_sentence(composer, fact) for fact in pair]))
    return f"{sentences} {composer.ask(second.section, wording, x=phrase)}", second


def _ask(composer: Composer, statement: Statement, wording: Wording) -> str:
    subject = composer.book.name(statement.about)
    return composer.ask(statement.section, wording, x=subject)


def _sentence(composer: Composer, statement: Statement) -> str:
    """A statement as a sentence of its own."""
    subject = composer.book.name(statement.about)
    return polished(_SENTENCES[statement.section].format(x=subject, y=statement.words))


when_to_act = EmbeddedTask(NAME, questions)
