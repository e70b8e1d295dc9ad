"""No text of a run folder reaches a terminal, a pipe or a file in a form that anything obeys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from autocoa_bench.report import TABLES
from support.commands import Cli, caller
from support.tainted import ESCAPES, active, end, formula, formulas, tainted_run


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    first = tainted_run(folder / "a\x1b]0;x\x07\u202e[red]", end)
    return str(first), str(tainted_run(folder / "b", end, "react", "Anna"))


def texts(folder: Path) -> Iterator[str]:
    """The names and the contents of the files under a folder."""
    for file in folder.rglob("*"):
        yield str(file.relative_to(folder))
        if file.suffix not in (".pdf", ".png") and file.is_file():
            yield file.read_text(encoding="utf-8")


FITTING = ("leaderboard", "actions", "evidence", "cost", "faults", "kinds")


@pytest.mark.parametrize("format_", ["terminal", "markdown", "latex", "csv", "json"])
def test_no_table_in_any_format_obeys(cli: Cli, runs: tuple[str, str], format_: str) -> None:
    tables = ",".join(FITTING)
    done = cli("report", *runs, "--by", tables, "--format", format_, "--allow-differences")
    assert done.code == 0
    assert not active(done.out + done.err)
    check(done.out, format_)


@pytest.mark.parametrize("table", sorted({*TABLES} - {*FITTING}))
def test_no_table_that_may_not_fit_obeys(cli: Cli, runs: tuple[str, str], table: str) -> None:
    done = cli("report", runs[0], "--by", table)
    assert done.code in (0, 2)
    assert done.out + done.err
    assert not active(done.out + done.err)


def check(text: str, format_: str) -> None:
    """Nothing in a table of a format is more than text."""
    if format_ == "markdown":
        assert "<script" not in text.replace("\\<script", "")
        assert "](javascript" not in text.replace("\\](javascript", "")
        assert not any(line.startswith("# h") for line in text.splitlines())
    elif format_ == "latex":
        assert "\\input{" not in text
        assert "$" not in text.replace("\\$", "")
    elif format_ == "csv":
        assert not formulas(text)
    elif format_ == "json":
        json.loads(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "{0}", "--limit", "9"),
        ("show", "{0}", "--only", "fault"),
        ("show", "{0}", "--question", "none"),
        ("compare", "{0}", "{1}"),
        ("compare", "{0}", "{1}", "--allow-differences", "--show", "lost"),
        ("compare", "{0}", "{1}", "--allow-differences", "--scorer", "none"),
        ("report", "{0}", "{1}"),
        ("report", "{0}", "--by", "none\x1b[31m"),
        ("score", "{0}", "--scorers", "em"),
        ("score", "{0}", "--scorers", "none\x1b[31m"),
        ("tasks", "show", "{0}"),
        ("judge", "audit", "{0}/records.jsonl"),
        ("run", "--replay", "{0}/records.jsonl", "--tasks", "{0}/records.jsonl"),
        ("models", "pull", "none\x1b[31m"),
        ("{0}",),
    ],
)
def test_no_command_says_what_a_terminal_obeys(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    # A folder of its own: some of these commands write to it.
    first = tainted_run(tmp_path / "a\x1b]0;x\x07\u202e[red]", end)
    second = tainted_run(tmp_path / "b", end, "react", "Anna")
    done = cli(*(argument.format(first, second) for argument in arguments))
    assert done.code in (0, 2)
    assert done.out + done.err
    assert not active(done.out + done.err)
    assert "😄" not in done.out + done.err
    assert done.err.count("\nerror: ") == 0


def test_on_a_terminal_the_only_escapes_are_our_own_colours(
    cli: Cli, runs: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    for command in (("show", "--limit", "9"), ("report", "--allow-differences")):
        done = cli(command[0], runs[0], *command[1:])
        assert "\x1b[1m" in done.out
        assert not active(done.out, colours=True)
        assert "[red]:smile:[link=http://e]y[/]" in "".join(done.out.split("\n"))


class _Tags(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs


def test_a_page_has_no_element_of_a_stranger(
    cli: Cli, runs: tuple[str, str], tmp_path: Path
) -> None:
    pages = []
    for name, folder in (("tainted", runs[0]), ("plain", str(tainted_run(tmp_path / "p", str)))):
        file = tmp_path / f"{name}.html"
        assert cli("report", folder, "--by", "leaderboard,kinds", "--html", str(file)).code == 0
        parsed = _Tags()
        parsed.feed(file.read_text())
        pages.append(parsed)
        assert not active(file.read_text())
    tainted_page, plain_page = pages
    assert tainted_page.names.count("script") == plain_page.names.count("script")
    assert "img" not in tainted_page.names
    assert not [key for key, _ in tainted_page.attributes if key.startswith("on")]
    links = [value or "" for key, value in tainted_page.attributes if key in ("href", "src")]
    assert all(link.startswith("#") for link in links)


def test_plots_and_exports_obey_nothing(cli: Cli, runs: tuple[str, str], tmp_path: Path) -> None:
    tables = ("--by", "leaderboard")
    assert cli("report", runs[0], *tables, "--plots", str(tmp_path / "plots")).code == 0
    assert cli("export", runs[0], "--out", str(tmp_path / "logs")).code == 0
    written = list(texts(tmp_path))
    assert len(written) > 8
    assert not [text for text in written if active(text)]


@pytest.mark.parametrize(
    "first",
    ["=", "+", "-", "@", "\t=", "\r=", " =", "\uff1d", "\uff0b", "\uff0d", "\uff20", ";=", "|="],
)
def test_no_cell_of_a_csv_is_a_formula(cli: Cli, tmp_path: Path, first: str) -> None:
    folder = tainted_run(tmp_path / "run", lambda text: first + formula(text))
    file = tmp_path / "table.csv"
    assert cli("report", str(folder), "--out", str(file)).code == 0
    text = file.read_text()
    assert "calc" in text
    for delimiter in ",;\t":
        assert not formulas(text, delimiter)


@pytest.mark.parametrize("name", ["em", "f1", "judge"])
def test_an_unknown_scorer_of_a_stranger_obeys_nothing(cli: Cli, tmp_path: Path, name: str) -> None:
    folder = tainted_run(tmp_path / "run", end)
    data = json.loads((folder / "run.json").read_text())
    data["scorers"] = [end(name)]
    (folder / "run.json").write_text(json.dumps(data))
    for command in ("report", "show", "export"):
        more = ("--out", str(tmp_path / "o")) if command == "export" else ()
        done = cli(command, str(folder), *more)
        assert done.code == 2
        assert not active(done.out + done.err)
        assert done.err.count("\nerror: ") == 0


def test_the_taint_is_in_what_is_read(runs: tuple[str, str]) -> None:
    content = "".join(path.read_text() for path in Path(runs[0]).glob("*.json*"))
    assert content.count(json.dumps(ESCAPES, ensure_ascii=True)[1:9]) > 50
