"""Run folders of strangers: every text of a run and of its records carries what others obey."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import replace

from autocoa_bench.judge import Case, Verdict, verdict_key
from autocoa_bench.judge.verdict_cache import NAME
from autocoa_bench.runs.run_folder import RunFolder
from autocoa_bench.types import (
    Environment,
    FaultNote,
    Hop,
    JudgeSpec,
    Message,
    Passage,
    Question,
    Record,
    RunInfo,
    SearchSpec,
    Step,
    TaskSample,
    Trajectory,
)
from autocoa_bench.util.json_lines import encoded_line
from support.runs import info

ESCAPES = "\x1b]52;c;QQ==\x07\x1b]8;;http://e\x1b\\\x9b31m\x90q\x9c\x08\x7f\rX\u202e\u2066\U000e0041\u200b"
MARKUP = "[red]:smile:[link=http://e]y[/]"
HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>"
OTHERS = "|`\\input{x}$x^2$%\n# h\n\n[a](javascript:alert(1)) & \\\\"
FORMULA = "=cmd|' /C calc'!A0 "

OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\U000e0000-\U000e007f]"
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")


def end(text: str) -> str:
    """A text that ends with all of the payloads but the formula."""
    return text + ESCAPES + MARKUP + HTML + OTHERS


def formula(text: str) -> str:
    """A text that a spreadsheet would take for a formula."""
    return FORMULA + text


def tainted(value: Any, taint: Callable[[str], str], hint: Any = str) -> Any:
    """A value with every text in it tainted, keys of dictionaries too, but no choice of a few."""
    if isinstance(value, Struct):
        hints = get_type_hints(type(value))
        return replace(
            value,
            **{
                name: tainted(getattr(value, name), taint, hints[name])
                for name in value.__struct_fields__
            },
        )
    match value:
        case str():
            is_choice = Literal in (get_origin(hint), *map(get_origin, get_args(hint)))
            return value if is_choice else taint(value)
        case dict():
            return {taint(key): tainted(item, taint) for key, item in value.items()}
        case tuple() | list():
            return type(value)(tainted(item, taint) for item in value)
    return value


def _info(solver: str) -> RunInfo:
    plain = info(solver, ids=("q1", "q2", "q3"))
    search = SearchSpec("bm25", "towns", "2" * 64, 9, {"k1": 1.2, "stem": "s"}, 3)
    engine = replace(plain.spec.engine, settings={"sha256": "3" * 64, "note": "n"})
    tasks = (
        TaskSample("toy", "file", "1" * 64, ("q1", "q2", "q3")),
        TaskSample("other", "file", "1" * 64, ("q1",)),
    )
    spec = replace(plain.spec, search=search, engine=engine, tasks=tasks)
    session = Environment("2026-01-01T00:00:00+00:00", "http://h", 1, "r", {"v": "1"}, "s", "e")
    judge = JudgeSpec(engine, "equivalence", "4" * 64, 1, spec.sampling)
    return RunInfo(1, spec, "Own section", (session, session), ("em", "f1", "judge"), judge)


def _records(answer: str) -> list[Record]:
    hops = (Hop("Which town?", "Ayle", "p1", "the town", ("Aile",)),)
    questions = [
        Question(f"q{n}", f"Who is {n}?", ("Anna",), "toy", "bridge", "shared", hops, ("Ayle",))
        for n in (1, 2, 3)
    ]
    passages = (Passage("p1", "Ayle", "Anna lives in Ayle.", 1.0),)
    steps = (
        Step("search", "s", "who", observation="o", passages=passages),
        Step("malformed", "x", problem="no action", observation="n"),
        Step("answer", answer, answer),
    )
    messages = (Message("system", "be good"), Message("user", "?"))
    trajectory = Trajectory("agent", messages, "<think>", steps, answer, "answered")
    return [
        Record(questions[0], 0, trajectory, seconds=1.0),
        Record(questions[1], 0, fault=FaultNote("timeout", "no reply")),
        Record(questions[2], 0, replace(trajectory, answer=None, ending="forced-actions")),
        Record(replace(questions[0], task="other"), 0, trajectory),
    ]


def tainted_run(
    folder: Path, taint: Callable[[str], str], solver: str = "agent", answer: str = "Bert"
) -> Path:
    """A run folder whose texts are all tainted, but for the names of its scorers."""
    about = replace(tainted(_info(solver), taint), scorers=("em", "f1", "judge"))
    assert about.judge is not None
    written = RunFolder(folder, about)
    verdicts = []
    for record in tainted(_records(answer), taint):
        written.append(record)
        if record.trajectory is not None and record.trajectory.answer is not None:
            question = record.question
            case = Case(question.text, question.golden_answers, record.trajectory.answer)
            key = verdict_key(about.judge, case)
            verdicts.append(Verdict(key, None, taint("unreadable"), (taint("well"),)))
    written.close()
    (folder / NAME).write_bytes(b"".join(map(encoded_line, verdicts)))
    return folder


def active(text: str, colours: bool = False) -> list[str]:
    """What a terminal would obey in a text; `colours` allows those of the program itself."""
    return OBEYED.findall(_COLOURS.sub("", text) if colours else text)


def formulas(text: str, delimiter: str = ",") -> list[str]:
    """The cells of a CSV that a spreadsheet would take for formulas."""
    cells = [cell for row in csv.reader(io.StringIO(text), delimiter=delimiter) for cell in row]
    return [cell for cell in cells if _FORMULA.match(cell.lstrip()) and not _is_number(cell)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
