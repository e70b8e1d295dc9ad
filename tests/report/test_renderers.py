"""Tables in terminals of several widths, as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from autocoa_bench.errors import UserError
from autocoa_bench.report import Catalogue, Report, build, print_terminal, render
from autocoa_bench.report.render.csv_json import frame
from autocoa_bench.report.render.layout import fold
from autocoa_bench.runs.run_folder import Run

Make = Callable[..., Run]


def shown(report: Report, width: int, colour: bool = False) -> str:
    page = io.StringIO()
    print_terminal(report, Console(file=page, width=width, force_terminal=colour))
    return page.getvalue()


@pytest.fixture
def report(three_runs: list[Run], known: Catalogue) -> Report:
    return build(three_runs, catalogue=known)


@pytest.fixture
def awkward(make_run: Make) -> Report:
    """Names with the special characters of each format."""
    run = make_run(
        {"a_b|c": [(1, 1.0), "bad-\x1b[31mreply"]},
        solver="100%_&#{x}",
        model="[red]~m^n$\\<b>",
    )
    return build([run], catalogue=Catalogue())


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_no_line_is_wider_than_the_terminal(report: Report, width: int) -> None:
    assert max(len(line) for line in shown(report, width).splitlines()) <= width


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_no_number_is_lost_at_any_width(report: Report, width: int) -> None:
    page = shown(report, width)
    for section in report.tables[0].sections:
        for row in section.rows:
            for cell in row.cells:
                assert cell.text in page
                assert cell.detail in page


def test_a_wide_terminal_shows_table_1s_layout(report: Report) -> None:
    lines = shown(report, 140).splitlines()
    assert re.search(r"Single-hop QA +Multi-hop QA", lines[2])
    assert re.search(r"NQ +TriviaQA +HotpotQA +2WikiMultihopQA +MuSiQue +Bamboogle +A", lines[4])
    assert lines[6].split() == ["Method", "n", *["EM", "F1"] * 7]


def test_a_narrow_terminal_turns_the_table_round(report: Report) -> None:
    page = shown(report, 80)
    assert page.count("Leaderboard") == 1
    assert re.search(r"^HotpotQA +\d", page, re.MULTILINE)


def test_many_runs_on_a_narrow_terminal_get_a_table_a_metric(make_run: Make) -> None:
    tasks = {name: [(0, 1.0), (0, 0.0)] for name in "abcdef"}
    runs = [make_run(tasks, f"solver-{number}") for number in range(8)]
    page = shown(build(runs, ["leaderboard"], catalogue=Catalogue()), 80)
    assert "Leaderboard (embedded edition): EM" in page
    assert "Leaderboard (embedded edition): F1" in page


def test_bars_are_as_long_as_their_shares(make_run: Make) -> None:
    run = make_run({"t": [(0, 1.0), (0, 0.0), (1, 1.0)]})
    lines = shown(build([run], ["actions"], catalogue=Catalogue()), 100).splitlines()
    zero, one = (next(x for x in lines if x.startswith(f"{n} ")) for n in (0, 1))
    assert zero.split() == ["0", "2", "1", "50.0", "█" * 6, "50.0", "█" * 6, "9–91"]
    assert one.split() == ["1", "1", "1", "50.0", "█" * 6, "100.0", "█" * 12, "21–100"]


def test_a_note_is_printed_once(report: Report) -> None:
    assert shown(report, 200).count("made by this project") == 1


def test_markup_and_control_characters_in_names_are_only_text(awkward: Report) -> None:
    page = shown(awkward, 100)
    assert "[red]~m^n$\\<b>" in page
    assert "\x1b" not in page


@pytest.mark.parametrize("written", ["markdown", "latex", "csv", "json"])
def test_files_carry_no_terminal_codes(awkward: Report, report: Report, written: str) -> None:
    for rendered in (awkward, report):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", render(rendered, written))


def test_markdown_rows_have_as_many_cells_as_their_heading(awkward: Report, report: Report) -> None:
    for rendered in (awkward, report):
        for block in render(rendered, "markdown").split("\n\n"):
            if block.startswith("|"):
                cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
                assert len(cells) == 1


def test_markdown_shows_names_as_they_are(awkward: Report) -> None:
    page = render(awkward, "markdown")
    assert r"a_b\|c" in page
    assert r"\[red\]~m^n$\\\<b\>" in page


def test_markdown_keeps_the_groups_of_datasets(report: Report) -> None:
    head, _, names = render(report, "markdown").splitlines()[2:5]
    group = [cell.strip() for cell in head.split("|")]
    name = [cell.strip() for cell in names.split("|")]
    assert group[name.index("**NQ EM**")] == "Single-hop QA"
    assert group[name.index("**HotpotQA EM**")] == "Multi-hop QA"


def test_latex_escapes_the_special_characters_of_tex(awkward: Report) -> None:
    page = render(awkward, "latex")
    assert r"100\%\_\&\#\{x\}" in page
    assert r"{[}red]\textasciitilde{}m\textasciicircum{}n\$\textbackslash{}\textless{}b" in page
    assert not re.search(r"(?<!\\)[#$]", page)


def test_latex_is_balanced(awkward: Report, report: Report) -> None:
    for rendered in (awkward, report):
        page = render(rendered, "latex")
        bare = page.replace(r"\{", "").replace(r"\}", "")
        depth = 0
        for character in bare:
            depth += {"{": 1, "}": -1}.get(character, 0)
            assert depth >= 0
        assert depth == 0
        stack: list[str] = []
        for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", page):
            if kind == "begin":
                stack.append(name)
            else:
                assert stack.pop() == name
        assert not stack


def test_latex_rows_have_as_many_cells_as_the_tabular_has_columns(
    awkward: Report, report: Report
) -> None:
    for rendered in (awkward, report):
        page = render(rendered, "latex")
        for align, body in re.findall(
            r"\\begin\{tabular\}\{([^\n]*)\}\n(.*?)\\end\{tabular\}", page, re.DOTALL
        ):
            columns = len(re.sub(r"p\{[^}]*\}", "p", align.replace(r"\textwidth", "")))
            for row in re.findall(r"^(.*) \\\\$", body, re.MULTILINE):
                spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
                assert len(re.findall(r"(?<!\\)&", row)) + 1 + sum(spans) == columns


def test_csv_is_one_row_a_run_task_and_metric(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(render(report, "csv"))))
    board = [row for row in rows if row["table"] == "leaderboard"]
    assert len({(row["run"], row["task"], row["metric"]) for row in board}) == len(board) == 3 * 14
    (row,) = [
        row for row in board if (row["run"], row["task"], row["metric"]) == ("agent", "nq", "em")
    ]
    assert float(row["low"]) < float(row["mean"]) < float(row["high"])
    assert (row["n"], row["planned"], row["coverage"]) == ("100", "100", "1.0")


def test_json_has_the_facts_and_notes_of_each_table_and_how_runs_were_made(report: Report) -> None:
    content = json.loads(render(report, "json"))
    assert [table["name"] for table in content["tables"]] == [table.name for table in report.tables]
    board = content["tables"][0]
    assert board["notes"] == list(report.tables[0].notes)
    [fact] = [
        fact
        for fact in board["facts"]
        if (fact["run"], fact.get("task"), fact["metric"]) == ("agent", "nq", "em")
    ]
    assert fact["low"] < fact["mean"] < fact["high"]
    assert (fact["n"], fact["coverage"], "actions" in fact) == (100, 1.0, False)
    assert content["runs_made"] == list(report.footer)


def test_csv_leaves_a_missing_number_empty(make_run: Make) -> None:
    report = build([make_run({"t": ["timeout"]})], ["leaderboard"], ["em"], Catalogue())
    (row,) = csv.DictReader(io.StringIO(render(report, "csv")))
    assert (row["mean"], row["n"], row["planned"], row["coverage"]) == ("", "0", "1", "0.0")


def test_the_frame_has_whole_numbers_where_there_are_counts(report: Report) -> None:
    assert str(frame(report)["n"].dtype) == "Int64"


def test_an_unknown_format_is_named(report: Report) -> None:
    with pytest.raises(UserError, match="did you mean 'markdown'"):
        render(report, "markdwn")


def test_text_is_folded_after_hyphens_and_before_capitals_at_need() -> None:
    assert fold("DeepSeek-R1-Distill-Qwen-7B", 16) == ["DeepSeek-R1-", "Distill-Qwen-7B"]
    assert fold("2WikiMultihopQA", 10) == ["2Wiki", "MultihopQA"]
    assert fold("abcdefghij", 4) == ["abcd", "efgh", "ij"]
