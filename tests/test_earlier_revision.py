"""Files that revision 3d60abd wrote: runs, verdicts, recipes, checkpoints and adapters still serve.

`written_by_3d60abd/` is what that revision's commands left: a run of four questions killed while it
wrote the fourth record, with a judge's verdicts and a cache of search results; a recording of the
exchanges of a whole run; synthesised data; and trainings by SFT and GRPO, killed after step 2.
"""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from support.commands import Cli, caller
from support.mock_server import Body, MockServer
from support.tiny import edit_json
from support.towns import reply, town_of

FILES = Path(__file__).parent / "written_by_3d60abd"
RUN = ("run", "--solver", "agent:shots=0", "--tasks", "towns.jsonl", "--corpus", "corpus.jsonl")
"""The command that wrote `run`, but for the addresses of its servers."""
LOSSES = (5.984335, 5.921866, 5.905977, 5.896965)
"""The losses of the SFT run at steps 1 to 4, had it not been killed."""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line in a copy of the files, as if the libraries had not changed either."""
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    spec = json.loads((tmp_path / "run" / "run.json").read_text())["spec"]
    spec["search"]["settings"]["bm25s"] = version("bm25s")
    edit_json(tmp_path / "run" / "run.json", spec=spec)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    return caller(monkeypatch, capsys)


def judge(body: Body) -> str:
    """The judge of that run."""
    return "Verdict: correct" if "Anna" in str(body) else "Verdict: incorrect"


def metrics(folder: str) -> list[dict[str, str]]:
    """The rows of a training run's metrics.csv."""
    header, *rows = (Path(folder) / "metrics.csv").read_text().splitlines()
    return [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]


def in_columns_of(old: Path, rows: list[dict[str, str]]) -> bool:
    """True if the rows are those of an old folder, in the columns that it has."""
    before = metrics(str(old))
    return [{name: row[name] for name in before[0]} for row in rows] == before


def test_a_killed_run_resumes_with_the_question_that_is_missing(cli: Cli) -> None:
    recorded = Path("run/records.jsonl").read_bytes().splitlines(keepends=True)[:3]
    with (
        MockServer(reply, models=("mock",)) as model,
        MockServer(judge, models=("judge",)) as other,
    ):
        servers = ("--base-url", model.url, "--judge", "judge", "--judge-base-url", other.url)
        assert cli(*RUN, "--model", "mock", *servers, "--out", "run").code == 0
    assert {town_of(body) for body in model.generations()} == {3}
    assert other.generations() == []  # its answer had been judged before its record was lost
    assert Path("run/records.jsonl").read_bytes().startswith(b"".join(recorded))


def test_a_run_is_reported_and_shown(cli: Cli) -> None:
    table = cli("report", "run", "--format", "csv")
    assert ",em,towns,file,,0.6666666666666666," in table.out
    assert "The mayor of town 0 is Anna." in cli("show", "run").out


def test_a_recorded_run_replays(cli: Cli) -> None:
    done = cli(*RUN, "--model", "mock", "--engine", "openai", "--replay", "exchanges.jsonl")
    assert done.code == 0
    assert len(list(Path("results/runs").glob("*/records.jsonl"))) == 1


def test_an_sft_run_resumes_from_its_checkpoint(cli: Cli) -> None:
    assert cli("train", "sft2", "--config", "sft2.toml", "--out", "sft").code == 0
    rows = metrics("sft")
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert in_columns_of(FILES / "sft", rows[:2])  # not trained again
    assert [float(row["loss"]) for row in rows] == pytest.approx(LOSSES, rel=1e-3)


def test_a_run_of_grpo_resumes_from_its_checkpoint(cli: Cli) -> None:
    assert cli("train", "grpo", "--config", "grpo.toml", "--out", "grpo").code == 0
    rows = metrics("grpo")
    assert [int(row["step"]) for row in rows] == [1, 2, 3]
    assert in_columns_of(FILES / "grpo", rows[:2])


def test_an_adapter_is_trained_further(cli: Cli) -> None:
    command = ("train", "sft2", "--config", "sft2.toml", "--out", "further", "--set", "max_steps=1")
    assert cli(*command, "--set", "adapter=adapter").code == 0
    assert float(metrics("further")[0]["loss"]) < LOSSES[1]


def test_synthesised_data_is_trained_on_and_exported(cli: Cli) -> None:
    changes = ("--set", "max_steps=1", "--set", 'data=["synth/records.jsonl"]')
    assert cli("train", "sft2", "--config", "sft2.toml", *changes, "--out", "further").code == 0
    assert cli("synth", "export", "synth", "--to", "llamafactory", "--out", "exported").code == 0
