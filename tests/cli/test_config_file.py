"""`run --config` and `--save-config`, and defaults that come from the environment."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from autocoa_bench.engines import ModelConfig
from autocoa_bench.engines.engine import BASE_URL
from autocoa_bench.engines.weights.models import DEFAULT
from autocoa_bench.runs.run_folder import load_run
from support.commands import Cli, caller, refused
from support.mock_server import MockServer
from support.towns import reply, write_task

SETTINGS = {
    "solver": ["agent:shots=0", "model-only"],
    "model": "mock",
    "limit": 3,
    "temperature": 0.5,
    "seed": 7,
    "reasoning-effort": "low",
    "min-p": 0.05,
    "body": '{"user": "Zoë \\"😀\\""}',
    "scorers": "em,f1",
    "judge": "judge",
    "judge-votes": 2,
}
"""Options of a run, as a file has them."""
FLAGS = [
    word
    for key, value in SETTINGS.items()
    for item in (value if isinstance(value, list) else [value])
    for word in (f"--{key}", str(item))
]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    for variable in ("AUTOCOA_BENCH_API_KEY", "OPENAI_API_KEY", BASE_URL):
        monkeypatch.delenv(variable, raising=False)
    write_task(tmp_path, 4)
    return caller(monkeypatch, capsys, "run")


def answer(body: dict[str, Any]) -> str:
    """The model that is asked, and the judge of its answers."""
    return "Verdict: correct" if body["model"] == "judge" else reply(body)


def toml(**settings: Any) -> str:
    """A file's text; JSON writes these values as TOML does."""
    named = {key.replace("_", "-"): value for key, value in settings.items()}
    return "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in named.items()
    )


def content(folder: Path) -> tuple[Any, list[Any], list[Any]]:
    """What run.json, the records and the scores of a run say, times aside."""

    def timeless(value: Any) -> Any:
        if isinstance(value, list):
            return [timeless(item) for item in value]
        if isinstance(value, dict):
            gone = ("started", "seconds", "generate_seconds", "search_seconds", "crc32")
            return {key: timeless(item) for key, item in value.items() if key not in gone}
        return value

    def lines(name: str) -> list[Any]:
        rows = map(json.loads, (folder / name).read_text().splitlines())
        return sorted(map(timeless, rows), key=json.dumps)

    info = timeless(json.loads((folder / "run.json").read_text()))
    return info, lines("records.jsonl"), lines("scores.jsonl")


def runs(folder: Path) -> list[Any]:
    return [content(path) for path in sorted(folder.iterdir())]


def test_a_run_from_a_file_equals_the_run_from_flags(cli: Cli, tmp_path: Path) -> None:
    with MockServer(answer, models=("mock", "judge")) as server:
        files = {"tasks": "towns.jsonl", "corpus": "corpus.jsonl"}
        servers = {"base_url": [server.url], "judge_base_url": server.url}
        words = [w for k, v in files.items() for w in (f"--{k}", v)]
        words += ["--base-url", server.url, "--judge-base-url", server.url]
        assert cli(*words, *FLAGS, "--save-config", "saved.toml").code == 0
        Path("results/runs").rename("flags")
        Path("written.toml").write_text(toml(**files, **servers, **SETTINGS))
        for name in ("written", "saved"):
            done = cli("--config", f"{name}.toml")
            assert done.code == 0, done.err
            Path("results/runs").rename(name)
    assert len(runs(tmp_path / "flags")) == 2
    assert runs(tmp_path / "written") == runs(tmp_path / "saved") == runs(tmp_path / "flags")


def test_a_saved_file_has_what_was_given_and_no_default(cli: Cli) -> None:
    given = {"tasks": "towns.jsonl", "corpus": "corpus.jsonl", "model": "mock", "limit": 1}
    words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    with MockServer(reply) as server:
        words += ["--solver", "agent:shots=0", "--base-url", server.url]
        assert cli(*words, "--save-config", "new/run.toml").code == 0
    given |= {"solver": ["agent:shots=0"], "base-url": [server.url]}
    assert tomllib.loads(Path("new/run.toml").read_text()) == given


def test_flags_override_variables_and_these_the_file(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MockServer(reply) as server:
        Path("run.toml").write_text(
            toml(tasks="towns.jsonl", corpus="corpus.jsonl", base_url=server.url, model="mock")
            + toml(solver="agent:shots=0", out="out", seed=1, limit=1, samples=1)
        )
        monkeypatch.setenv("AUTOCOA_BENCH_SEED", "2")
        monkeypatch.setenv("AUTOCOA_BENCH_LIMIT", "2")
        assert cli("--config", "run.toml", "--limit", "3").code == 0
    spec = load_run(Path("out")).info.spec
    assert (spec.sampling.seed, len(spec.tasks[0].question_ids)) == (2, 3)


def test_all_options_of_a_run_may_come_from_the_environment(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MockServer(reply) as server:
        for name, value in {
            "TASKS": "towns.jsonl",
            "CORPUS": "corpus.jsonl",
            "MODEL": "mock",
            "BASE_URL": server.url,
            "SOLVER": "agent:shots=0",
            "OUT": "out",
            "REASONING_EFFORT": "low",
        }.items():
            monkeypatch.setenv(f"AUTOCOA_BENCH_{name}", value)
        assert cli().code == 0
    assert load_run(Path("out")).info.spec.engine.settings == {"reasoning_effort": "low"}


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("sead = 1", ("unknown key in the configuration 'run.toml': 'sead'", "mean 'seed'")),
        ("base_url = 'x'", ("'base_url'", "mean 'base-url'")),
        ("config = 'x'", ("unknown key", "'config'")),
        ("seed = 'x'", ("'run.toml' has seed = 'x'", "valid integer")),
        ("limit = 1.5", ("'run.toml' has limit = 1.5", "valid integer")),
        ("limit = 0", ("'run.toml' has limit = 0", "greater than or equal to 1")),
        ("limit = true", ("has limit = True", "it takes a text, a number or a list of these")),
        ("thinking = 'maybe'", ("has thinking = 'maybe'", "is not one of")),
        ("[body]\na = 1", ("has body = {'a': 1}", "it takes a text")),
        ("seed = ", ("the configuration 'run.toml' is not TOML",)),
        ("judge-votes = 3", ("--judge-votes need --judge MODEL",)),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    cli: Cli, text: str, messages: tuple[str, ...]
) -> None:
    Path("run.toml").write_text(text)
    refused(cli("--config", "run.toml"), *messages)


def test_a_file_that_is_not_there(cli: Cli) -> None:
    refused(cli("--config", "none.toml"), "cannot read the configuration 'none.toml'")


def test_the_servers_address_may_come_from_openais_variable(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MockServer(reply) as server:
        monkeypatch.setenv(BASE_URL, server.url)
        words = ("--tasks", "towns.jsonl", "--corpus", "corpus.jsonl", "--solver", "agent:shots=0")
        done = cli(*words, "--model", "mock", "--out", "out", "--save-config", "run.toml")
        assert done.code == 0, done.err
        assert load_run(Path("out")).info.sessions[0].base_url == server.url
        assert f'base-url = "{server.url}"' in Path("run.toml").read_text()


@pytest.mark.parametrize(
    ("fields", "engine"),
    [
        ({"model": "served"}, "openai"),
        ({"engine": "openai"}, "openai"),
        ({}, "embedded"),
        ({"model": DEFAULT}, "embedded"),
        ({"model": "m.gguf"}, "embedded"),
        ({"model": "served", "engine": "vllm"}, "vllm"),
    ],
)
def test_openais_variable_leaves_the_models_of_other_engines_alone(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], engine: str
) -> None:
    monkeypatch.setenv(BASE_URL, "http://server:1")
    config = ModelConfig(**fields)
    assert (config.engine, bool(config.base_url)) == (engine, engine == "openai")
    assert ModelConfig(**fields, base_url="http://own:1").base_url == "http://own:1"
