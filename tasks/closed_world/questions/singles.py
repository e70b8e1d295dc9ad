"""Single-hop questions: search-box style (nq) and quiz style (triviaqa)."""

from collections.abc import Callable

from autocoa_bench.types import Question
from tasks.closed_world.encyclopedia import Statement
from tasks.closed_world.questions.composing import Composer, Wording, by_section, in_turn, leaks
from tasks.closed_world.rng import bucket
from tasks.closed_world.text.grammar import capitalise, polished


def nq(composer: Composer, count: int) -> list[Question]:
    """Questions in lower case without a question mark, as typed into a search box."""
    return _compose(composer, count, 0, _search_box)


def triviaqa(composer: Composer, count: int) -> list[Question]:
    """Full sentences, most with a clue; the golden answers include aliases."""
    return _compose(composer, count, 1, _quiz)


Phrase = Callable[[Composer, Statement, Wording], str]


def _compose(composer: Composer, count: int, share: int, phrase: Phrase) -> list[Question]:
    own = [
        statement
        for statement in composer.book.statements
        if composer.asks(statement) and bucket(statement.key, 2) == share
    ]
    questions: dict[str, Question] = {}
    for statement in in_turn(map(composer.rng.shuffled, by_section(own).values())):
        if len(questions) == count:
            break
        wording = composer.wording_of(len(questions))
        text = phrase(composer, statement, wording)
        golds = composer.golds(statement)
        if text in questions or any(leaks(gold, text) for gold in golds):
            continue
        hops = composer.chain_hops((statement,))
        questions[text] = Question("", text, golds, composer.task, "single", wording, hops)
    return list(questions.values())


def _search_box(composer: Composer, statement: Statement, wording: Wording) -> str:
    sort = composer.rng.pick(("nq", "ask"))
    text = composer.words(statement.section, sort, wording)
    name = composer.book.name(statement.about)
    aliases = composer.book.world[statement.about].aliases
    if aliases and composer.rng.chance(30):
        name = aliases[0]
    if composer.rng.chance(50):
        text, name = text.replace("the movie", "the film"), name.replace("the film", "the movie")
    text = text.format(x=name).replace("movie the movie", "movie").replace("movie the film", "film")
    return text.rstrip("?").lower()


def _quiz(composer: Composer, statement: Statement, wording: Wording) -> str:
    subject = described(composer, statement.about)
    clue = _clue(composer, statement)
    form = composer.rng.below(4) if clue else 0
    if form == 0:
        return composer.ask(statement.section, wording, x=subject)
    if form == 1:
        text = composer.ask(statement.section, wording, x=f"{subject}, {clue},")
        return text.replace(",?", "?")
    tail = composer.words(statement.section, "tail", wording)
    if form == 2:
        return polished(f"{subject}, {clue}, {tail}?")
    return polished(f"{capitalise(clue)}, {subject} {tail}?")


def _clue(composer: Composer, statement: Statement) -> str:
    """Another fact about the subject, as a participle phrase; empty if there is none."""
    clues = [
        clue
        for clue in composer.book.about[statement.about]
        if clue.section != statement.section
        and clue.surface != statement.surface
        and "clue" in composer.sections.get(clue.section, {})
    ]
    if not clues:
        return ""
    clue = composer.rng.pick(clues)
    return composer.words(clue.section, "clue").format(y=clue.words)


def described(composer: Composer, entity_id: str) -> str:
    """The name of an entity with a word or two that describe it."""
    entity = composer.book.world[entity_id]
    facts = entity.facts
    name = composer.book.name(entity_id)
    if entity.kind in ("person", "company") and "nationality" in facts:
        return f"the {facts['nationality']} {entity.noun} {entity.name}"
    if "genre" in facts:
        phrase = f"{entity.noun} {entity.name}"
        return name.replace(phrase, f"{facts['genre']} {phrase}")
    if entity.kind in ("town", "region", "country"):
        return f"the {entity.noun} of {entity.name}"
    return name
