"""The benchmarks still run, on a small load."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from msgspec.structs import replace

from autocoa_bench.types import EngineSpec
from support.runs import answered, info, write_run
from support.tiny import tiny_model
from support.tiny_llm import make_model

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.slow


def test_the_client_is_measured_beside_the_bare_loop() -> None:
    load = ["--questions", "8", "--in-flight", "4", "--rounds", "1"]
    command = [sys.executable, str(BENCHMARKS / "client_speed.py"), *load]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "bare" in done.stdout


def test_the_scorers_are_measured() -> None:
    command = [sys.executable, str(BENCHMARKS / "scoring_speed.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pairs/s" in done.stdout


def test_the_trainer_is_measured(tmp_path: Path) -> None:
    load = ["--batch", "2", "--warm-up", "1", "--steps", "1", "--only", "ours"]
    command = [sys.executable, str(BENCHMARKS / "sft_speed.py"), *load]
    command += ["--model", str(make_model(tmp_path / "tiny"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tokens/CPU-s" in done.stdout


def test_rollouts_and_a_step_of_grpo_are_measured_beside_others(tmp_path: Path) -> None:
    load = ["--questions", "2", "--group", "2", "--step-tokens", "16", "--rounds", "1"]
    command = [sys.executable, str(BENCHMARKS / "grpo_speed.py"), *load]
    command += ["--model", str(make_model(tmp_path / "tiny")), "--dtype", "fp32"]
    environment = {**os.environ, "AUTOCOA_BENCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]
    cells = {row[0].strip(): [cell.split("(")[0].strip() for cell in row[1:]] for row in rows}
    assert float(cells["tokens written a core-second, and generate()'s"][2]) > 0
    assert float(cells["core-seconds to play a rollout, and with generate()"][2]) > 0
    if find_spec("trl"):
        assert float(cells["core-seconds to learn from a rollout, and TRL's"][2]) > 0
        # Both took the step on the same tokens, rewards and divergence.
        ours, theirs, _ = cells["norm of the gradient, and TRL's"]
        assert float(ours) == pytest.approx(float(theirs), rel=0.01)
    else:
        assert "TRL is left out: it is not installed" in done.stdout


def test_the_search_server_is_measured() -> None:
    load = ["--passages", "200", "--queries", "50"]
    command = [sys.executable, str(BENCHMARKS / "search_server_speed.py"), *load]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "64 in flight" in done.stdout


def test_search_engines_are_measured_beside_one_another() -> None:
    command = [sys.executable, str(BENCHMARKS / "search_speed.py"), "--queries", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| bm25" in done.stdout
    for engine in ("jar", "tantivy"):  # which are extras: measured, or said why not
        assert f"| {engine}" in done.stdout or f"{engine} is left out: " in done.stdout


def test_search_quality_is_measured_as_reports_trace_evidence(tmp_path: Path) -> None:
    passages = {"p1": ("Oslo", "The capital of Norway."), "p2": ("Bergen", "A rainy town.")}
    corpus, questions = tmp_path / "corpus.jsonl", tmp_path / "towns.jsonl"
    contents = {key: f'"{title}"\n{text}' for key, (title, text) in passages.items()}
    write(corpus, [{"id": key, "contents": text} for key, text in contents.items()])
    gold = {"metadata": {"supporting_titles": ["Oslo", "Bergen"]}}
    write(
        questions,
        [
            {"id": "1", "question": "capital of Norway?", "golden_answers": ["Oslo"], **gold},
            {"id": "2", "question": "Is Bergen rainy?", "golden_answers": ["yes"]},
            {"id": "3", "question": "Which town is rainy?", "golden_answers": ["Rome"]},
        ],
    )
    command = [sys.executable, str(BENCHMARKS / "search_quality.py"), "--search", "bm25:k1=1.2"]
    command += ["--corpus", str(corpus), "--tasks", str(questions)]
    environment = {**os.environ, "AUTOCOA_BENCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "3 questions: 2 with an answer in words, 1 with gold titles." in done.stdout
    [row] = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| bm25")]
    # Of "Oslo" and "Rome" one is found, of the titles Oslo and Bergen one.
    assert [cell.split("(")[0].strip() for cell in row[1:10]] == ["bm25:k1=1.2", *["50.0"] * 8]
    command[3] = "nothing"
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("error: unknown search engine 'nothing'")


def test_where_two_engines_part_is_found_and_the_model_asked(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model")
    sampled = greedy(model, "?", 4)
    others = [*sampled[:2], sampled[2] + 1, 7]
    engines = {
        "first": EngineSpec("transformers", str(model), "template"),
        "second": EngineSpec("vllm", str(model), "continue"),
        "chat": EngineSpec("openai", "hosted", "chat"),
    }
    for (name, engine), ids in zip(engines.items(), (sampled, others, others), strict=True):
        about = info(ids=("q1",))
        about = replace(about, spec=replace(about.spec, engine=engine))
        record = answered()
        assert record.trajectory is not None
        [step] = record.trajectory.steps
        step = replace(step, token_ids=tuple(ids), prompt_tokens=4)
        trajectory = replace(record.trajectory, steps=(step,))
        write_run(tmp_path / name, about, [replace(record, trajectory=trajectory)])
    command = [sys.executable, str(BENCHMARKS / "engines_side_by_side.py"), "--model", str(model)]
    command += [str(tmp_path / "first"), str(tmp_path / "second")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()]
    assert ["first", "1", "1", "1", "1", "1 of 1", "1 of 1"] in rows
    assert ["second", "1", "0", "1", "1", "1 of 1", "1 of 1"] in rows
    [row] = [row for row in rows if row[1:2] == ["q1"]]
    assert (row[2], row[6]) == ("1, 3", "the same")
    assert row[5].startswith("+")
    assert row[5].endswith("(first's)")
    assert "Of 4 tokens that the first run sampled 4 are the first choice" in done.stdout
    command[-1] = str(tmp_path / "chat")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "speaks the protocol 'chat'" in done.stderr


def greedy(model: Path, question: str, count: int) -> list[int]:
    """The tokens that a tiny model says to a question."""
    import torch
    import transformers

    loaded = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    ids = tokenizer(f"<|user|>{question}<|end|><|assistant|>", return_tensors="pt").input_ids
    output = loaded.generate(ids, max_new_tokens=count, do_sample=False)[0, ids.shape[1] :]
    return list(output.tolist())


def write(file: Path, rows: list[dict[str, object]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
