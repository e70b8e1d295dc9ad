"""The real datasets: FlashRAG's files on the Hugging Face Hub, and the paper's own samples of them.

They are registered as `NAME@all`; `autocoa_bench.tasks` makes `NAME@paper` and `NAME@500:seed=3` of
them. A name without `@` is the embedded edition. `real.toml` lists the files and their sources.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.tasks import FileTask, Split
from autocoa_bench.types import Question, TaskInfo
from autocoa_bench.util.hub import HubFile, fetch


class HubSplit(Struct, frozen=True):
    """A file of a dataset: its split on the Hub, its number of rows, its SHA-256 if published."""

    split: str
    rows: int
    sha256: str = ""


class _Dataset(Struct, frozen=True):
    """A dataset in `real.toml`; `hosted` is false where only a mirror can have it."""

    title: str
    licence: str
    test: HubSplit
    train: HubSplit | None = None
    paper: HubSplit | None = None
    groups: tuple[str, ...] = ()
    hosted: bool = True


class _Catalogue(Struct, frozen=True):
    repository: str
    revision: str
    datasets: dict[str, _Dataset]


_FOLDER = Path(__file__).parent
_CATALOGUE = msgspec.toml.decode((_FOLDER / "real.toml").read_bytes(), type=_Catalogue)
REPOSITORY = _CATALOGUE.repository
REVISION = _CATALOGUE.revision


class RealTask:
    """A whole real dataset: `test` is its evaluation split, `paper` the one AutoCoA drew from."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._dataset = dataset = _CATALOGUE.datasets[name]
        self._short_files: dict[str, str] = {}
        train = f", train ({dataset.train.rows:,})" if dataset.train else ""
        source = f"{REPOSITORY} at {REVISION[:10]}"
        self.info = TaskInfo(
            name=f"{name}@all",
            title=f"{dataset.title}@all",
            edition="real",
            shape=f"{dataset.test.split}{train}",
            source=source if dataset.hosted else "a mirror folder of your own",
            licence=dataset.licence,
            count=dataset.test.rows,
            sha256=None,
            groups=dataset.groups,
        )

    def load(self, split: Split = "test") -> Sequence[Question]:
        """All questions of a split in the file's order, fetched if need be.

        Raises UserError where there is no such split, or where the file is not the pinned one.
        """
        hub_split = self._dataset.train if split == "train" else self._dataset.test
        if hub_split is None:
            raise UserError(
                f"'{self.info.name}' has no {split} split, only test questions; train on another "
                "dataset"
            )
        questions = self._read(hub_split)
        file = self._file(hub_split)
        self._short_files.pop(file, None)
        if len(questions) != hub_split.rows:
            self._short_files[file] = (
                f"the mirror's {file} holds {len(questions):,} questions, not {hub_split.rows:,} "
                "as the Hub's: a sample drawn from it differs from one drawn from the Hub"
            )
        return questions

    @property
    def samples(self) -> Mapping[str, int]:
        """`paper`: the questions of the dataset in AutoCoA's published test file."""
        return {"paper": len(self._paper_ids())} if self._dataset.paper else {}

    def load_sample(self, name: str) -> Sequence[Question]:  # noqa: ARG002 - there is only one
        """The paper's questions in its order. Raises UserError where the file lacks one of them."""
        paper = self._dataset.paper
        assert paper is not None
        questions = {question.id: question for question in self._read(paper)}
        ids = self._paper_ids()
        if missing := [id_ for id_ in ids if id_ not in questions]:
            raise UserError(
                f"{self._file(paper)} lacks {len(missing):,} of the {len(ids):,} questions of "
                f"{self._name}@paper ({', '.join(missing[:3])}, ...): it is not FlashRAG's; "
                "complete the mirror, or unset it to fetch the file from the Hub"
            )
        return [questions[id_] for id_ in ids]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about files of a mirror that have another number of rows than the Hub's."""
        return tuple(self._short_files.values())

    def _paper_ids(self) -> tuple[str, ...]:
        file = _FOLDER / "paper" / f"{self._name}.txt"
        lines = file.read_text(encoding="utf-8").splitlines()
        return tuple(id_ for line in lines if not line.startswith("#") for id_ in line.split())

    def _file(self, hub_split: HubSplit) -> str:
        return f"{self._name}/{hub_split.split}.jsonl"

    def _read(self, hub_split: HubSplit) -> Sequence[Question]:
        revision = REVISION if self._dataset.hosted else ""
        file = fetch(HubFile(REPOSITORY, revision, self._file(hub_split), hub_split.sha256))
        questions = FileTask(file.path, self.info.name).load()
        # A mirror may hold a part of the dataset; what the Hub published is complete.
        if len(questions) != hub_split.rows and not file.mirrored:
            raise UserError(
                f"'{file.path}' holds {len(questions):,} questions, not {hub_split.rows:,} as "
                "published; delete it and fetch it again"
            )
        return questions


nq, triviaqa, popqa, hotpotqa, wikimultihopqa, musique, bamboogle, fanoutqa = map(
    RealTask, _CATALOGUE.datasets
)
