"""vLLM as a child: a scripted server passes for it, but for one test with the real one."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from autocoa_bench.engines import Engine, EngineConfig, open_engine
from autocoa_bench.engines.launch import supervisor, vllm
from autocoa_bench.errors import UserError
from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.types import EngineSpec, Generate, Message, Prompt, Sampling, Turn
from support.commands import Cli, caller, refused
from support.interrupt import has_ended, heed_ctrl_c
from support.tiny import random_lora, tiny_model
from support.towns import write_task

SUPPORT = Path(__file__).parent.parent / "support"
PATIENCE = 120.0


class Fake(NamedTuple):
    """The scripted server's environment, and what it wrote down of itself."""

    environment: dict[str, str]
    file: Path

    def note(self) -> dict[str, Any]:
        wait_until(self.file.exists)
        note: dict[str, Any] = json.loads(self.file.read_text())
        return note

    def is_gone(self) -> bool:
        try:
            os.kill(self.note()["pid"], 0)
        except ProcessLookupError:
            return True
        return False


def wait_until(done: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """vLLM replaced, for this process and its children."""
    paths = [str(SUPPORT / "fake_vllm"), str(SUPPORT.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "FAKE_VLLM_NOTE": str(tmp_path / "note.json"),
        "AUTOCOA_BENCH_VLLM": sys.executable,
        "AUTOCOA_BENCH_CACHE": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Fake(environment, tmp_path / "note.json")


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fake: Fake
) -> Iterator[Cli]:
    """Runs ten towns on the model `mock` into the folder `run`; no server may be left."""
    monkeypatch.chdir(tmp_path)
    tasks, corpus = write_task(tmp_path, 10)
    words = ["run", "--solver", "agent:shots=0", "--tasks", tasks, "--corpus", corpus]
    yield caller(monkeypatch, capsys, *words, "--model", "mock", "--out", "run")
    assert not fake.file.exists() or fake.is_gone()


def test_a_run_starts_the_server_and_stops_it(cli: Cli, fake: Fake, tmp_path: Path) -> None:
    options = "tensor-parallel-size=2,dtype=float32,enforce_eager=true,enable-prefix-caching=false"
    done = cli("--engine", f"vllm:{options}")
    assert done.code == 0, done.err
    assert "50.0" in done.out
    argv = fake.note()["argv"]
    assert argv[argv.index("--host") + 1] == "127.0.0.1"
    assert {"--tensor-parallel-size=2", "--dtype=float32", "--enforce-eager"} <= set(argv)
    assert "--no-enable-prefix-caching" in argv
    assert not list(tmp_path.glob("*.log"))


def test_prefixes_are_cached_unless_told_otherwise(cli: Cli, fake: Fake) -> None:
    assert cli("--engine", "vllm").code == 0
    assert "--enable-prefix-caching" in fake.note()["argv"]


def test_run_json_has_version_options_and_room_but_no_key(cli: Cli, fake: Fake) -> None:
    cli("--engine", "vllm:tensor-parallel-size=2,dtype=float32")
    info = load_run(Path("run")).info
    assert (info.spec.engine.engine, info.spec.engine.model) == ("vllm", "mock")
    assert info.spec.engine.protocol == "template"
    assert info.spec.engine.settings == {
        "vllm": "0.0",
        "options": "dtype=float32",
        "context_tokens": 2048,
    }
    assert info.sessions[0].engine == "vllm:tensor-parallel-size=2,dtype=float32"
    assert fake.note()["key"] not in Path("run/run.json").read_text()


def test_a_run_is_resumed_on_more_gpus_and_says_so(cli: Cli) -> None:
    cli("--engine", "vllm:tensor-parallel-size=2")
    done = cli("--engine", "vllm:tensor-parallel-size=4")
    assert done.code == 0, done.err
    message = " ".join(done.err.split())
    assert "was vllm:tensor-parallel-size=2 and is vllm:tensor-parallel-size=4" in message


def test_a_run_is_not_resumed_with_other_weights(cli: Cli) -> None:
    cli("--engine", "vllm")
    done = cli("--engine", "vllm:quantization=fp8")
    refused(done, "another run", "quantization=fp8")


def test_a_server_that_dies_at_its_start(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "dies")
    done = cli("--engine", "vllm")
    refused(done, "vLLM does not serve 'mock'", "exit code 1, ValueError: no room for the KV cache")
    [log] = tmp_path.glob("*.log")
    assert f"{log}:\n  (APIServer pid=1) WARNING" in done.err
    assert "\n  ValueError: no room for the KV cache\n  RuntimeError: later" in done.err


def test_a_server_that_is_never_ready(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM", "hangs")
    done = cli("--engine", "vllm:start_timeout=2")
    refused(done, "not ready", "within 2 s", "start_timeout=SECONDS", "The last line of its log:")


def test_a_server_that_dies_in_the_middle_of_a_run(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "dies later")
    done = cli("--engine", "vllm", "--concurrency", "2")
    assert done.code == 75
    assert "the same command resumes: it ended with exit code 3, RuntimeError: Engine" in done.err
    assert 0 < len(load_run(Path("run")).records) < 10
    monkeypatch.delenv("FAKE_VLLM")
    done = cli("--engine", "vllm")
    assert done.code == 0, done.err
    assert len(load_run(Path("run")).records) == 10


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_its_run(fake: Fake, tmp_path: Path, by: signal.Signals) -> None:
    tasks, corpus = write_task(tmp_path, 10)
    command = [sys.executable, "-m", "autocoa_bench", "run", "--solver", "agent:shots=0"]
    command += ["--tasks", tasks, "--corpus", corpus, "--model", "mock", "--engine", "vllm"]
    environment = {**os.environ, "FAKE_VLLM": "hangs"}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=heed_ctrl_c,
    )
    try:
        assert not fake.is_gone()
        process.send_signal(by)
        process.wait(PATIENCE)
        wait_until(fake.is_gone)
    finally:
        process.kill()
        process.wait()


def test_a_server_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    child = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    server = f"""
import subprocess, sys, time, signal
signal.signal(15, signal.SIG_IGN)
worker = subprocess.Popen([sys.executable, "-c", {child!r}])
open({str(tmp_path / "pid")!r}, "w").write(f"{{worker.pid}}\\n")
time.sleep(600)
"""
    keep = "from autocoa_bench.engines.launch import supervisor; supervisor.STOP_SECONDS = 0.2; "
    keep += f"import sys; sys.exit(supervisor.supervise([sys.executable, '-c', {server!r}]))"
    process = subprocess.Popen([sys.executable, "-c", keep], stdin=subprocess.PIPE)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGKILL
    worker = int((tmp_path / "pid").read_text())
    wait_until(lambda: has_ended(worker))


def lora(folder: Path, **config: object) -> str:
    folder.mkdir()
    content = {"peft_type": "LORA", "r": 12, **config}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return str(folder)


def test_an_adapter_is_served_with_its_rank(cli: Cli, fake: Fake, tmp_path: Path) -> None:
    adapter = lora(tmp_path / "my, own=lora", rank_pattern={"q_proj": 24})
    done = cli("--engine", "vllm", "--adapter", adapter)
    assert done.code == 0, done.err
    argv = fake.note()["argv"]
    assert "--enable-lora" in argv
    assert argv[argv.index("--max-lora-rank") + 1] == "32"
    assert json.loads(argv[argv.index("--lora-modules") + 1])["path"] == adapter
    spec = load_run(Path("run")).info.spec.engine
    assert (spec.model, spec.settings["adapter"]) == ("mock", "my, own=lora")
    assert len(str(spec.settings["adapter_sha256"])) == 64


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"peft_type": "IA3"}, "type IA3"),
        ({"r": 1024}, "rank 1024; vLLM serves LORA up to rank 512"),
        ({"r": "many"}, "cannot read"),
    ],
)
def test_an_adapter_that_vllm_does_not_serve(
    config: dict[str, object], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=problem):
        vllm._lora_flags(lora(tmp_path / "lora", **config))


def test_a_gguf_adapter_is_told_how_to_become_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"models convert adapter\.gguf FOLDER"):
        vllm._lora_flags("adapter.gguf")


@pytest.mark.parametrize(
    ("spec", "options", "problem"),
    [
        ("vllm:port=8000", {}, "'port' is set by autocoa-bench itself"),
        ("vllm:max_model_len=1,max-model-len=2", {}, "'max-model-len' is given twice"),
        ("vllm:enforce-eager", {}, "options are written name=value"),
        ("vllm:start_timeout=soon", {}, "'start_timeout' takes float, not 'soon'"),
        ("vllm:options=1", {}, "unknown option of engine 'vllm' 'options'"),
        ("vllm", {"model": ""}, "needs --model"),
        ("vllm", {"base_url": "http://127.0.0.1:1"}, "leave out --base-url"),
        ("embedded:threads=2", {}, "unknown option of engine 'embedded' 'threads'"),
    ],
)
def test_what_is_no_use_to_it_is_refused(spec: str, options: dict[str, str], problem: str) -> None:
    config_fields = {"model": "m", "base_url": "", "protocol": "auto", **options}
    with pytest.raises(UserError, match=problem):
        open_engine(spec, EngineConfig(**config_fields, concurrency=1, context_tokens=1))


def test_an_interpreter_without_vllm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_VLLM", "/nowhere/python")
    with pytest.raises(
        UserError, match="names '/nowhere/python', which is not a Python interpreter"
    ):
        vllm._launcher()
    if find_spec("vllm") is None:
        monkeypatch.setenv("AUTOCOA_BENCH_VLLM", sys.executable)
        with pytest.raises(UserError, match="which has no vLLM"):
            vllm._launcher()
        monkeypatch.delenv("AUTOCOA_BENCH_VLLM")
        with pytest.raises(UserError, match="set AUTOCOA_BENCH_VLLM to"):
            vllm._launcher()


REAL = bool(os.environ.get("AUTOCOA_BENCH_VLLM")) or find_spec("vllm") is not None
SYSTEM = Message("system", "Say letters.")


async def answers(engine: Engine) -> tuple[EngineSpec, list[tuple[int, ...] | None]]:
    """The ids of a first turn, and of what follows a turn and an observation; greedy."""
    spec = await engine.start()
    try:
        opening = (SYSTEM, Message("user", "Who built the tower?"))
        first = Generate(Prompt(opening, prefill="<t>"), stop=("zz",), max_tokens=24)
        [opening_turn] = await engine.generate(first, Sampling())
        turns = (Turn("model", "I look."), Turn("environment", " Anna. "))
        then = replace(first, prompt=replace(first.prompt, turns=turns))
        [next_turn] = await engine.generate(then, Sampling())
    finally:
        await engine.close()
    return spec, [opening_turn.token_ids, next_turn.token_ids]


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="no vLLM here; AUTOCOA_BENCH_VLLM may name a Python that has")
def test_the_real_vllm_serves_a_model_and_its_adapter_as_transformers_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    settings |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    model = tiny_model(tmp_path / "base", size=128)  # vLLM's heads have at least 32 numbers
    adapter = random_lora(model, tmp_path / "lora", rank=12, std=0.3)
    config = EngineConfig(str(model), "", "auto", 4, 1024, str(adapter))
    served = open_engine("vllm:dtype=float32,enforce-eager=true,max-num-seqs=4", config)
    spec, ids = asyncio.run(answers(served))
    _, expected = asyncio.run(answers(open_engine("transformers", config)))
    assert ids == expected
    assert ids[0] != ids[1]
    assert (spec.engine, spec.protocol) == ("vllm", "template")
    assert spec.settings["context_tokens"] == 512
    assert str(spec.settings["vllm"])[0].isdigit()


def test_the_keeper_tells_the_exit_code() -> None:
    command = [sys.executable, supervisor.__file__, sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.wait(PATIENCE) == 7
