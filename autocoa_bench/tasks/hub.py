"""Tasks from datasets of the Hugging Face Hub, by name: `hf:ORG/NAME:split`.

The library `datasets` streams the rows, also those of a local folder in the Hub's layout, and
`formats` reads them as it reads files.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from autocoa_bench.errors import UserError, import_extra
from autocoa_bench.tasks.field_map import NO_FIELDS, FieldMap
from autocoa_bench.tasks.formats import QuestionFile, questions_of
from autocoa_bench.types import Question, Split, TaskInfo
from autocoa_bench.util.field_names import Row
from autocoa_bench.util.fingerprint import fingerprint
from autocoa_bench.util.hub import response_status, transfer_errors
from autocoa_bench.util.paths import user_path
from autocoa_bench.util.secrets import redact, redacted_logs
from autocoa_bench.util.text import one_line

PREFIX = "hf:"
"""The start of the names of these tasks."""

_SYNTAX = (
    "write hf:ORG/NAME:SPLIT or hf:ORG/NAME:CONFIG:SPLIT, with @REVISION after NAME if need be, or "
    "hf:./FOLDER:SPLIT for a local folder"
)
_REPOSITORY = re.compile(r"(?:[\w.-]+/)?[\w.-]+(?:@[\w./-]+)?", re.ASCII)
_LOCAL = ("/", "./", "../", "~")


class HubName(Struct, frozen=True):
    """A split of a dataset: of a repository, perhaps at a revision, or of a local folder.

    An empty config is the dataset's only one, or its default.
    """

    source: str
    split: str
    config: str = ""
    revision: str = ""

    @property
    def is_local(self) -> bool:
        """True for a folder of this machine."""
        return self.source.startswith(_LOCAL)

    @property
    def dataset(self) -> str:
        """The name of the repository or of the folder."""
        return self._path.name

    @property
    def owner(self) -> str:
        """The owner of the repository, or the name of the folder that holds the folder."""
        return self._path.parent.name

    @property
    def _path(self) -> Path:
        return user_path(self.source).resolve() if self.is_local else Path(self.source)

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return PREFIX + ":".join(filter(None, (self.source + at, self.config, self.split)))


def parse_hub_name(text: str) -> HubName:
    """The split that a text names. Raises UserError for another syntax."""
    source, *parts = text.removeprefix(PREFIX).split(":")
    is_local = source.startswith(_LOCAL)
    if not (is_local or _REPOSITORY.fullmatch(source)) or not 1 <= len(parts) <= 2 or "" in parts:
        raise UserError(f"'{text:.200}' does not name the split of a dataset; {_SYNTAX}")
    repository, _, revision = (source, "", "") if is_local else source.partition("@")
    return HubName(repository, parts[-1], parts[0] if len(parts) == 2 else "", revision)


class HubTask:
    """A split of a dataset of the Hub or of a local folder: the same questions for either split."""

    def __init__(self, name: HubName, fields: FieldMap = NO_FIELDS, prefix: str = "") -> None:
        """`fields` names columns. `prefix` begins the task's name, to tell it from another's."""
        self._hub_name = name
        self._fields = fields
        parts = (prefix, name.dataset, name.config, name.split)
        self._name = "-".join(filter(None, parts))

    @property
    def info(self) -> TaskInfo:
        """The split by name, without count and hash, which take loading."""
        return TaskInfo(
            name=self._name,
            title=self._name,
            edition="hub",
            shape="dataset of the Hub",
            source=str(self._hub_name),
            licence="the dataset's own",
            count=None,
            sha256=None,
        )

    def load(self, split: Split = "test") -> Sequence[Question]:  # noqa: ARG002 - its name has one
        """All questions in the split's order. Raises UserError and MissingExtra."""
        return self._content.questions

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about rows that are left out, and about instructions in prompts."""
        return self._content.warnings

    @property
    def revision(self) -> str:
        """What is read: `hf:` with the commit, or `sha256:` of a local split's files.

        Raises UserError and MissingExtra.
        """
        return self._stream.revision

    @cached_property
    def _stream(self) -> "_Stream":
        return _open(self._hub_name)

    @cached_property
    def _content(self) -> QuestionFile:
        label, rows = str(self._hub_name), self._stream.rows
        return questions_of(label, _numbered(self._hub_name, rows), self._name, self._fields)


class _Stream(NamedTuple):
    """The rows of a split, not yet read, and what is read."""

    rows: Any  # an IterableDataset
    revision: str


def _numbered(name: HubName, rows: Any) -> Iterator[tuple[int, Row]]:
    """The rows of a stream, counted from 1. Raises UserError."""
    number = 0
    try:
        with redacted_logs("huggingface_hub"):
            for number, row in enumerate(rows, 1):
                yield number, row
    except _errors() as error:
        raise _refused(name, error, f" after row {number}" if number else "") from None
    if not number:
        raise UserError(f"'{name}' has no rows; give a split with at least one")


def _open(name: HubName) -> _Stream:
    """Find the split and pin its revision. Raises UserError and MissingExtra."""
    datasets = import_extra("datasets", f"reading {name}", "hub")
    try:
        with redacted_logs("huggingface_hub"):
            source, commit = _source(name)
            config = _config(name, source, commit)
            builder = datasets.load_dataset_builder(source, config, revision=commit)
            files = builder.config.data_files
            if name.split not in files:
                raise UserError(
                    f"'{name}': the dataset has no split '{name.split}', only {', '.join(files)}; "
                    "give one of these"
                )
            # Pictures and sounds need further packages to decode, and are no part of a question.
            rows = builder.as_streaming_dataset(split=name.split).decode(False)
    except _errors() as error:
        raise _refused(name, error) from None
    if commit is None:
        return _Stream(rows, _content_hash(Path(source), files[name.split]))
    return _Stream(rows, str(replace(name, revision=commit)))


def _source(name: HubName) -> tuple[str, str | None]:
    """The folder, and no commit, or the repository and its commit now. Raises UserError."""
    if name.is_local:
        folder = user_path(name.source).resolve()
        if not folder.is_dir():
            raise UserError(
                f"'{name}': the folder '{folder}' does not exist; give one with the files of a "
                "dataset repository"
            )
        return str(folder), None
    if Path(name.source).exists():  # `datasets` would read it in place of the repository
        raise UserError(
            f"'{name}' is ambiguous, because the folder '{name.source}' exists here; give "
            f"{PREFIX}./{name.source}:{name.split} for it, or start in another folder"
        )
    from huggingface_hub import HfApi

    return name.source, HfApi().dataset_info(name.source, revision=name.revision or None).sha


def _config(name: HubName, source: str, commit: str | None) -> str:
    """The config that is named, or the dataset's only or default one. Raises UserError."""
    import datasets

    known = datasets.get_dataset_config_names(source, revision=commit)
    default = datasets.get_dataset_default_config_name(source, revision=commit)
    config = name.config or default or ""
    if config in known:
        return config
    problem = f"no config '{config:.80}'" if config else "several configs, and none is the default"
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    raise UserError(
        f"'{name}': the dataset has {problem}; give one of {listed}, as "
        f"{HubName(name.source, name.split, known[0], name.revision)}"
    )


def _content_hash(folder: Path, files: Sequence[str]) -> str:
    """The hash of a split's files in order, by their names in the folder and their content."""
    digest = hashlib.sha256()
    for file in map(Path, files):
        digest.update(f"{file.relative_to(folder).as_posix()} {fingerprint(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _errors() -> tuple[type[Exception], ...]:
    """All that finding and streaming a dataset raises."""
    from datasets.exceptions import DatasetsError
    from pyarrow import ArrowException

    return (DatasetsError, ArrowException, *transfer_errors())


def _refused(name: HubName, error: Exception, after: str = "") -> UserError:
    if name.is_local:
        problem = one_line(redact(str(error)))[:300]
        return UserError(
            f"'{name}' cannot be read{after}: {problem};\ngive a folder as the Hub has it: "
            ".parquet or .jsonl files, and a README.md that lists its configs if there are several"
        )
    # The library's own message is left out: it may quote a request with its token.
    return UserError(
        f"'{name}' cannot be read{after}: {_reason(error)};\nor give a local copy as "
        f"{PREFIX}./FOLDER:{name.split}, made by `hf download {name.source} --repo-type dataset "
        "--local-dir FOLDER`"
    )


def _reason(error: Exception) -> str:
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import constants
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RevisionNotFoundError):
        return "the Hub has no such revision of it; check the text after the @"
    if isinstance(error, RepositoryNotFoundError | DatasetNotFoundError):
        return (
            "the Hub has no such dataset, or does not show it to you; check the name and the token "
            "(HF_TOKEN, `hf auth login`)"
        )
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids asking the Hub; unset it"
    if status := response_status(error):
        return f"the Hub answered HTTP {status}; check the token (HF_TOKEN), or try again later"
    if isinstance(error, OSError | transfer_errors()[-1]):
        return "the Hub cannot be reached; check the network"
    return f"its files are not those of a dataset ({type(error).__name__}); check it on the Hub"
