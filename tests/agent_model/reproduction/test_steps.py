"""Commands that depend on one another: what runs when, and what is never run twice."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from agent_model.reproduction.steps import Step, run_steps
from autocoa_bench.errors import UserError

HELP = ("tasks", "show", "nq@nano", "--limit", "1")
REFUSED = ("tasks", "show", "no-such-task")


def run(steps: list[Step], out: Path, jobs: int = 2) -> tuple[dict[str, object], str]:
    console = Console(file=io.StringIO(), width=100)
    return dict(run_steps(steps, out, jobs, console)), console.file.getvalue()


@pytest.mark.slow
def test_a_step_waits_for_what_it_needs_and_is_not_run_again(tmp_path: Path) -> None:
    steps = [Step("first", HELP), Step("second", HELP, ("first",))]
    done, said = run(steps, tmp_path)
    assert list(done) == ["first", "second"]
    assert "1 of 2  first" in said
    assert (tmp_path / "logs" / "second.log").read_text().startswith(f"$ {steps[1].line}\n")
    _, again = run(steps, tmp_path)
    assert again == ""


@pytest.mark.slow
def test_what_fails_is_said_with_the_end_of_its_log_and_runs_again(tmp_path: Path) -> None:
    steps = [Step("good", HELP), Step("bad", REFUSED, ("good",)), Step("last", HELP, ("bad",))]
    with pytest.raises(UserError, match=r"step 'bad' failed \(2\): .*") as failure:
        run(steps, tmp_path)
    assert "no-such-task" in str(failure.value)
    assert not (tmp_path / "steps" / "bad.json").exists()
    mended = [steps[0], Step("bad", HELP, ("good",)), steps[2]]
    assert list(run(mended, tmp_path)[0]) == ["good", "bad", "last"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot make the folder .*: Not a directory"):
        run([], tmp_path / "file")


def test_a_folder_of_other_steps_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "first.json").write_text(
        '{"words": ["run", "--limit", "2"], "seconds": 1}'
    )
    with pytest.raises(UserError, match=r"holds another reproduction: its step 'first' was"):
        run([Step("first", HELP)], tmp_path)
