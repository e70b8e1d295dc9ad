"""`known@all`: MINTQA-POP's three-hop questions about popular things, from a mirror (Appendix A).

The paper draws 192 of them "through stratified sampling" but publishes neither their ids nor its
strata. `known@192`, with its sub-questions `known-sub@576`, is a simple random sample of that size.
"""

from collections import Counter
from collections.abc import Sequence

from autocoa_bench.errors import UserError
from autocoa_bench.tasks import FileTask, Split
from autocoa_bench.tasks.subquestions import SUBQUESTION_SUFFIX, subquestions_of
from autocoa_bench.types import Question, TaskInfo
from autocoa_bench.util.hub import HubFile, fetch

FILE = HubFile("probe2/multi-hop", "", "MINTQA-POP.json")
"""The file in its authors' GitHub repository; it is read from a mirror folder only."""

HOPS = 3
POPULAR = ("popular", "pop")
"""Labels of a hop about something popular, in lower case."""


class MintqaPop:
    """The main questions, or their sub-questions."""

    def __init__(self, part: str = "") -> None:
        """`part` is empty, or the suffix of sub-questions."""
        self._part = part
        self.info = TaskInfo(
            name=f"known{part}@all",
            title=f"MINTQA-POP{', sub-questions' if part else ''}@all",
            edition="real",
            shape="test, three popular hops" + (", each by itself" if part else ""),
            source=f"a mirror folder of your own, with {FILE.path} of github.com/{FILE.repository}",
            licence="see its repository",
            count=None,
            sha256=None,
            groups=("temporal",),
        )

    def load(self, split: Split = "test") -> Sequence[Question]:
        """The questions in the order of the file. Raises UserError if they cannot be loaded."""
        name = self.info.name
        if split != "test":
            raise UserError(f"'{name}' has no {split} split; it has test questions only")
        path = fetch(FILE).path
        questions = [q for q in FileTask(path, name).load() if len(q.hops) == HOPS]
        popular = [
            question
            for question in questions
            if all(label.strip().lower() in POPULAR for label in question.kind.split(", "))
        ]
        if not popular:
            kinds = Counter(question.kind for question in questions).most_common(4)
            labels = "; ".join(kind or "none" for kind, _ in kinds) or "there are none"
            raise UserError(
                f"'{path}' has no question of {HOPS} hops that are all labelled "
                f"{' or '.join(POPULAR)} (labels of those with {HOPS} hops: {labels}); "
                "give the path of the file to ask all of its questions"
            )
        return subquestions_of(popular, name) if self._part else popular


known = MintqaPop()
known_sub = MintqaPop(SUBQUESTION_SUFFIX)
