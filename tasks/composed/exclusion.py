"""What must not be trained on: the questions that are evaluated on, and what they name."""

import re
from collections.abc import Iterable

from autocoa_bench.scoring.text import normalise

_NAME = re.compile(r"[A-Z0-9][\w'’.-]*(?: (?:(?:of|the|in|and|for|de) )*[A-Z0-9][\w'’.-]*)*")


class Exclusion:
    """The texts of questions that are evaluated on."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = {normalise(text) for text in texts}
        self._joined = f" {' | '.join(sorted(self._texts))} "

    def names(self, name: str) -> bool:
        """Whether one of the questions has a name, as whole words."""
        words = normalise(name)
        return bool(words) and f" {words} " in self._joined

    def asks(self, question: str) -> bool:
        """Whether one of the questions is this one, or names all that it names, if it names two
        things or more."""
        if normalise(question) in self._texts:
            return True
        names = {normalise(name) for name in _NAME.findall(question[:1].lower() + question[1:])}
        return (
            len(names) > 1
            and all(map(self.names, names))
            and any(all(f" {name} " in f" {text} " for name in names) for text in self._texts)
        )
