"""The filter of text that leaves: what is taken out, what stays, and that nothing goes past it."""

import io
import re
import sys
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.text import Text

from autocoa_bench.util import terminal
from autocoa_bench.util.streams import FilteredStream
from autocoa_bench.util.text import one_line, printable, spreadsheet_text

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
        ("\x1b]52;c;QQ==\x07", "�]52;c;QQ==�"),
        ("\x9b31mred", "�31mred"),
        ("100 %\r  0 %", "100 %\n  0 %"),
        ("a\r\nb", "a\nb"),
        ("ab\x08\x08cd\x7f", "ab��cd�"),
        ("gnp.\u202eexe\u2066", "gnp.exe"),
        ("a\u200bb\u200dc\ufeff\u00add", "abcd"),
        ("hi\U000e0041\U000e0042\U000e007f\U000e0100", "hi"),
        ("half \ud800", "half �"),
        ("line\u2028sep\u2029par\x85nel", "line\nsep\npar\nnel"),
        (
            "日本語 한국어 עברית العربية ❤️ 👍🏽 e\u0301",
            "日本語 한국어 עברית العربية ❤️ 👍🏽 e\u0301",
        ),
    ],
)
def test_what_a_terminal_obeys_is_taken_out_and_letters_stay(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_one_line_is_one_line() -> None:
    assert one_line(" a\n b\r\x0bc\u2028d ") == "a b c d"
    assert one_line("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=1", "'=1"), ("a=1", "a=1"), ("\t@x", "\t'@x"), ("x;+1", "x;'+1"), ("2 - 1", "2 - 1")],
)
def test_a_cell_that_begins_as_a_formula_gets_an_apostrophe(text: str, cell: str) -> None:
    assert spreadsheet_text(text) == cell


@pytest.mark.parametrize(
    ("written", "passed"),
    [
        ("\r 50 %", "\r 50 %"),  # a progress bar
        ("\x1b[A\x1b[A", "\x1b[A\x1b[A"),  # bars under one another
        ("\x1b[Ahidden", "�[Ahidden"),
        ("x\r50 %", "x\n50 %"),
        ("\r\rx", "\r\nx"),
    ],
)
def test_a_stream_lets_progress_bars_pass(written: str, passed: str) -> None:
    inner = io.StringIO()
    FilteredStream(inner).write(written)
    assert inner.getvalue() == passed


def test_a_console_shows_markup_links_and_emoji_codes_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    inner = io.StringIO()
    monkeypatch.setattr(sys, "stdout", FilteredStream(inner))  # type: ignore[arg-type]
    console = terminal.stdout_console()
    console.print("[red]a[/red] :smile: [link=http://e]b[/link] \x1b[31m")
    console.print(Text("c", style="bold link http://e"))
    console.print(terminal.styled("d\x9b", "red"))
    with Progress(console=console, transient=True):
        console.print("e\x1b]8;;http://e\x1b\\f")
    shown = inner.getvalue()
    assert "[red]a[/red] :smile: [link=http://e]b[/link] �[31m" in shown
    assert "\x1b[1mc" in shown  # the console's own colours pass
    assert not re.search("\x1b\\]|\x9b|\x1b\\[31m\\s", shown.replace("\x1b[31md", ""))


def test_no_console_is_made_and_no_markup_is_parsed_elsewhere() -> None:
    own = {"terminal.py", "progress.py"}
    for package in ("autocoa_bench", "agent_model", "tasks", "baselines"):
        for file in (ROOT / package).rglob("*.py"):
            if file.name not in own:
                found = re.search(r"\bConsole\(|rich\.markup|from_markup", file.read_text())
                assert found is None, file
