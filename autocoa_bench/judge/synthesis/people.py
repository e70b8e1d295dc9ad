"""Questions about people whose pages give them two names: "Bill Gates", "William Henry Gates III".

The first sentence of a page has a person's full name where the title has the usual one: a real
alias. People who share a name with one another are real look-alikes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from autocoa_bench.judge.synthesis.answer_types import content_words
from autocoa_bench.types import Question
from autocoa_bench.util.row_reader import read_rows, row_error

TASK = "people"

_NAME_WORD = r"(?:[A-ZÀ-Þ][\w.'’-]*|\"[^\" ]+\"|de|da|del|di|van|von|der|bin|al|of)"
_BRACKETS = r"\([^()]*(?:\([^()]*\)[^()]*)*\)"
_FIRST_SENTENCE = re.compile(
    rf"(?P<name>{_NAME_WORD}(?: {_NAME_WORD}){{1,5}}),? (?:{_BRACKETS},? )?"
    r"(?P<verb>is|was) (?P<role>(?:an?|the) [^.()\"]{20,160})\."
)
_BORN = re.compile(r"\b(?:born|died|c\.|[12]\d{3})\b")


def people(corpus: Path) -> Iterator[Question]:
    """A question for each page of a person with a fuller name; its golds are title and name.

    Rows of the corpus have `contents`: a title in a line of its own, then the text. Raises
    UserError.
    """
    titles: set[str] = set()
    for number, row in read_rows(corpus):
        contents = row.get("contents")
        if not isinstance(contents, str):
            raise row_error(corpus, number, "it has no 'contents'; give a corpus with titles")
        title, _, text = contents.partition("\n")
        title = re.sub(r" \(.*\)$", "", title.strip('" '))
        match = _FIRST_SENTENCE.match(text.strip())
        # A bracket with years follows the names of people, and of few other things.
        if match is None or title in titles or not _BORN.search(match[0]):
            continue
        if _is_fuller(match["name"], title):
            titles.add(title)
            text = f"Who {match['verb']} {match['role']}?"
            yield Question(title, text, (title, match["name"]), TASK)


def _is_fuller(name: str, title: str) -> bool:
    """Whether a name has the last word of a title and more words, none of them twice."""
    words, title_words = content_words(name), content_words(title)
    last = title.rpartition(" ")[2].lower()
    is_longer = len(words) > len(title_words) > 1 and len(set(name.split())) == len(name.split())
    return is_longer and last in words and title.replace(" ", "").replace(".", "").isalpha()
