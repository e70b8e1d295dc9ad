"""The folder that `synth` writes: records.jsonl or pairs.jsonl, and synth.json."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from agent_model.data.config import DataKind, FilterConfig
from agent_model.data.filters import Counts
from agent_model.data.pairs import Pair
from autocoa_bench.episode import n_actions
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.runs.run_folder import differing
from autocoa_bench.types import Record, RunSpec, SearchSpec, TaskSample
from autocoa_bench.util.json_lines import read_versioned, write_files

FORMAT = 1
"""The version of the folder's layout."""

T = TypeVar("T", Record, Pair)

_ADVICE = "run the command that made it again"


class GoldSpec(Struct, frozen=True):
    """The questions, search engines and seed of the gold teacher."""

    tasks: tuple[TaskSample, ...]
    searches: tuple[SearchSpec, ...]
    top_k: tuple[int, ...]
    seed: int


class SynthSpec(Struct, frozen=True, kw_only=True):
    """The sources of data: equal specs make equal data, if `runs` are the same episodes.

    `runs` holds the sampled runs by name, and is empty if the gold teacher wrote the episodes. At
    most `count` trajectories or pairs are drawn by `seed`.
    """

    kind: DataKind
    split: str
    scorer: str
    limits: FilterConfig
    count: int
    seed: int
    runs: dict[str, RunSpec] = {}
    gold: GoldSpec | None = None


class SynthInfo(Struct, frozen=True, kw_only=True):
    """The content of synth.json; `sha256` is the data file's.

    Of the `chosen` trajectories or pairs, `written` were drawn and written. `shape` counts these:
    trajectories by number of searches, pairs by what is chosen.
    """

    format: int = FORMAT
    spec: SynthSpec
    counts: Counts
    chosen: int = msgspec.field(name="made")
    written: int
    shape: dict[str, int]
    sha256: str = ""


class SynthData(Struct, frozen=True):
    """The content of a folder: records or pairs."""

    info: SynthInfo
    records: tuple[Record, ...] = ()
    pairs: tuple[Pair, ...] = ()


def check_out(path: Path, kind: DataKind) -> None:
    """Refuse a folder that holds files of something else. Raises UserError."""
    if (path / "synth.json").exists():
        existing_kind = _read_info(path).spec.kind
        if existing_kind != kind:
            raise UserError(f"'{path}' holds {existing_kind} data, not {kind}; give another --out")
        return
    for name in ("records.jsonl", "pairs.jsonl", "run.json"):
        if (path / name).exists():
            raise UserError(f"'{path}' holds a {name} that is not from synth; give another --out")


def check_origin(path: Path, spec: SynthSpec) -> None:
    """Refuse a folder whose data comes from a different source than `spec` describes.

    The scorer, limits, count and seed of the draw may differ: the same episodes may be chosen from
    again. So may runs that the spec does not name yet. Raises UserError.
    """
    if not (path / "synth.json").exists():
        return
    existing = _read_info(path).spec
    differences = list(differing(_origin(existing), _origin(spec)))
    for name in existing.runs.keys() & spec.runs.keys():
        differences += differing(existing.runs[name], spec.runs[name], f"{name}.")
    if differences:
        raise UserError(
            f"'{path}' holds data from a different source, which differs in "
            f"{'; '.join(differences)}; give another --out"
        )


def shape_of(items: Iterable[Record] | Iterable[Pair]) -> dict[str, int]:
    """The numbers of trajectories by their number of searches, and of pairs by what is chosen."""

    def shape(item: Record | Pair) -> str:
        if isinstance(item, Pair):
            return "answer chosen" if item.ends[0] else "search chosen"
        searches = n_actions(item.trajectory) if item.trajectory else 0
        return f"{searches} search" + ("" if searches == 1 else "es")

    return dict(Counter(sorted(map(shape, items))))


def write(path: Path, info: SynthInfo, items: Iterable[Record] | Iterable[Pair]) -> SynthInfo:
    """Write the data file and synth.json, each whole; return the info with the data's hash.

    A kill between the two leaves a synth.json whose hash refuses the data. Raises
    UserError if the folder holds data made from something else, or cannot be written.
    """
    content = b"".join(msgspec.json.encode(item) + b"\n" for item in items)
    info = msgspec.structs.replace(info, sha256=hashlib.sha256(content).hexdigest())
    check_origin(path, info.spec)
    if not (path / "synth.json").exists():
        # Data without a synth.json would be refused, as that of something else.
        write_files(path, {"synth.json": _text(msgspec.structs.replace(info, sha256=""))})
    write_files(path, {_data_name(info.spec.kind): content, "synth.json": _text(info)})
    return info


def _text(info: SynthInfo) -> bytes:
    content = msgspec.json.encode(info, order="deterministic")
    return msgspec.json.format(content, indent=2) + b"\n"


def read(path: Path) -> SynthData:
    """Read a folder that `synth` wrote. Raises UserError if it is not one, or is damaged."""
    info = _read_info(path)
    file = path / _data_name(info.spec.kind)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}; {_ADVICE}") from None
    if hashlib.sha256(content).hexdigest() != info.sha256:
        raise UserError(f"'{file}' is not the data that its synth.json describes; {_ADVICE}")
    if info.spec.kind == "cot+a":
        return SynthData(info, pairs=_decode(file, content, Pair))
    return SynthData(info, records=_decode(file, content, Record))


def _decode(file: Path, content: bytes, kind: type[T]) -> tuple[T, ...]:
    try:
        return tuple(msgspec.json.Decoder(kind).decode_lines(content))
    except UNREADABLE as error:
        raise UserError(f"cannot read '{file}': {error}; {_ADVICE}") from None


def _read_info(path: Path) -> SynthInfo:
    missing = f"'{path}' has no synth.json; give a folder that synth wrote"
    return read_versioned(path / "synth.json", SynthInfo, FORMAT, missing)


def _origin(spec: SynthSpec) -> SynthSpec:
    """A spec without its runs, and without the settings that only choose from episodes."""
    return msgspec.structs.replace(spec, scorer="", limits=FilterConfig(), count=0, runs={})


def _data_name(kind: DataKind) -> str:
    return "pairs.jsonl" if kind == "cot+a" else "records.jsonl"
