"""The real datasets: FlashRAG's files on the Hugging Face Hub, and the paper's own samples of them.

They are registered as `NAME@all`; `autocoa_bench.tasks` makes `NAME@paper` and `NAME@500:seed=3` of
them. A name without `@` is the embedded edition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.tasks import FileTask, Split
from autocoa_bench.types import Question, TaskInfo
from autocoa_bench.util.hub import HubFile, fetch

REPOSITORY = "RUC-NLPIR/FlashRAG_datasets"
REVISION = "75bdaa3721499234214733eeb7d3da3dd2405250"
"""The commit "Upload 3 files" of August 2024 or soon after.

The repository's page of this commit shows bamboogle/ and, as of cb1bab6 (8 August 2024, files ten
times larger than before), musique/; the pages of nq/, triviaqa/ and 2wikimultihopqa/ on
its main branch show them unchanged since 16 July 2024, and those of commits of that day show
popqa/ and hotpotqa/. The repository has no fanoutqa/: its listing goes from eli5 to fermi.
"""

_PAPER = Path(__file__).parent / "paper"


class HubPart(Struct, frozen=True):
    """A file of a dataset: the split that it is on the Hub, its rows, its SHA-256 if published.

    Rows are those of the table of datasets in FlashRAG's documentation and on the repository's
    page; hashes those that the repository's commits e011525 and cb1bab6 show for large files, and
    for 2wikimultihopqa one that another project has pinned.
    """

    split: str
    rows: int
    sha256: str = ""


class RealTask:
    """A real dataset, whole: `test` is its evaluation split, `paper` the one AutoCoA drew from."""

    def __init__(
        self,
        name: str,
        title: str,
        licence: str,
        *,
        test: HubPart,
        train: HubPart | None = None,
        paper: HubPart | None = None,
        groups: tuple[str, ...] = (),
        hosted: bool = True,
    ) -> None:
        """`hosted`: whether the Hub's repository has it; if not, only a mirror can give it."""
        self._name = name
        self._parts = {"test": test, "train": train}
        self._paper = paper
        self._revision = REVISION if hosted else ""
        self._short: dict[str, str] = {}
        trains = f", train ({train.rows:,})" if train else ""
        self.info = TaskInfo(
            name=f"{name}@all",
            title=f"{title}@all",
            edition="real",
            shape=f"{test.split}{trains}",
            source=f"{REPOSITORY} at {REVISION[:10]}" if hosted else "a mirror folder of your own",
            licence=licence,
            count=test.rows,
            sha256=None,
            groups=groups,
        )

    def load(self, split: Split = "test") -> Sequence[Question]:
        """All questions of a split in the file's order, fetched if need be.

        Raises UserError where there is no such split, or where it cannot be had as pinned.
        """
        part = self._parts[split]
        if part is None:
            raise UserError(f"'{self.info.name}' has no {split} split, only questions to test on")
        questions = self._read(part)
        self._note(part, len(questions))
        return questions

    @property
    def samples(self) -> Mapping[str, int]:
        """`paper`: the questions of it that AutoCoA's published test file holds."""
        return {"paper": len(self._ids())} if self._paper else {}

    def load_sample(self, name: str) -> Sequence[Question]:  # noqa: ARG002 - there is only one
        """The paper's questions in its order. Raises UserError where one of them is not there."""
        assert self._paper is not None
        questions = {question.id: question for question in self._read(self._paper)}
        ids = self._ids()
        if missing := [each for each in ids if each not in questions]:
            raise UserError(
                f"{self._file(self._paper)} lacks {len(missing):,} of the {len(ids):,} questions "
                f"of {self._name}@paper ({', '.join(missing[:3])}, ...): it is not FlashRAG's; "
                "complete the mirror, or unset it to fetch the file from the Hub"
            )
        return [questions[each] for each in ids]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which files of a mirror are not what the Hub has, as far as their rows tell."""
        return tuple(self._short.values())

    def _ids(self) -> tuple[str, ...]:
        lines = (_PAPER / f"{self._name}.txt").read_text(encoding="utf-8").splitlines()
        return tuple(each for line in lines if not line.startswith("#") for each in line.split())

    def _file(self, part: HubPart) -> str:
        return f"{self._name}/{part.split}.jsonl"

    def _read(self, part: HubPart) -> Sequence[Question]:
        found = fetch(HubFile(REPOSITORY, self._revision, self._file(part), part.sha256))
        questions = FileTask(found.path, self.info.name).load()
        if len(questions) != part.rows and not found.mirrored:
            raise UserError(
                f"'{found.path}' holds {len(questions):,} questions, not {part.rows:,} as "
                "published; delete it and fetch it again"
            )
        return questions

    def _note(self, part: HubPart, count: int) -> None:
        """Remember whether a mirror's file is short; a sample by ids does not mind."""
        file = self._file(part)
        self._short.pop(file, None)
        if count != part.rows:
            self._short[file] = (
                f"the mirror's {file} holds {count:,} questions, not {part.rows:,} as the Hub's: "
                "what is drawn from it is another sample than the Hub's"
            )


nq = RealTask(
    "nq",
    "Natural Questions",
    "CC-BY-SA-3.0",
    test=HubPart("test", 3_610),
    train=HubPart("train", 79_168),
    paper=HubPart("dev", 8_757),
    groups=("singlehop", "paper"),
)
triviaqa = RealTask(
    "triviaqa",
    "TriviaQA",
    "Apache-2.0 (its authors own no rights in the questions)",
    test=HubPart("test", 11_313),
    train=HubPart("train", 78_785),
    paper=HubPart("dev", 8_837),
    groups=("singlehop", "paper"),
)
popqa = RealTask("popqa", "PopQA", "MIT (its repository's)", test=HubPart("test", 14_267))
_HOTPOTQA = HubPart(
    "dev", 7_405, "434ec155867019396312f3d466ce3406c71fe8a2917f49f63bb646ec5ad2ff52"
)
hotpotqa = RealTask(
    "hotpotqa",
    "HotpotQA",
    "CC-BY-SA-4.0",
    test=_HOTPOTQA,
    train=HubPart(
        "train", 90_447, "a81274abafa899ec0ee073102edbe6bb694a8a1174201b4e43e2bc6c98964d1a"
    ),
    paper=_HOTPOTQA,
    groups=("multihop", "paper"),
)
_WIKIMULTIHOPQA = HubPart(
    "dev", 12_576, "b4d74d73d1cb3c0632c665a85e1e5060e3411968b807721618cfd2464fc905e3"
)
wikimultihopqa = RealTask(
    "2wikimultihopqa",
    "2WikiMultihopQA",
    "Apache-2.0",
    test=_WIKIMULTIHOPQA,
    train=HubPart("train", 15_000),
    paper=_WIKIMULTIHOPQA,
    groups=("multihop", "paper"),
)
_MUSIQUE = HubPart("dev", 2_417, "d1cc08bcc91b060ba67c1e12881789e1315fb9f85d46f03a3413dd5e0f2ed02c")
musique = RealTask(
    "musique",
    "MuSiQue",
    "CC-BY-4.0",
    test=_MUSIQUE,
    train=HubPart(
        "train", 19_938, "f8a2f40e487f3c62460c6a9ddb122a0dfe5bd56dfe2bf5b0c96a51471b433a9d"
    ),
    paper=_MUSIQUE,
    groups=("multihop", "paper"),
)
_BAMBOOGLE = HubPart("test", 125)
bamboogle = RealTask(
    "bamboogle",
    "Bamboogle",
    "MIT",
    test=_BAMBOOGLE,
    paper=_BAMBOOGLE,
    groups=("multihop", "paper"),
)
_FANOUTQA = HubPart("dev", 310)
fanoutqa = RealTask(
    "fanoutqa",
    "FanOutQA",
    "MIT (its repository's)",
    test=_FANOUTQA,
    paper=_FANOUTQA,
    hosted=False,
)
