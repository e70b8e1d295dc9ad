"""Stage 2 on this machine beside TRL's SFTTrainer: the same trajectories, batch and labels.

Both train all weights in bf16 with AdamW, one thread, in a process of their own. Each is run twice,
for a few steps and for more, and the difference counts, so that loading and warming up do not.

    pip install trl
    python benchmarks/sft_speed.py --model smollm2-135m-instruct
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

SIDES = ("ours", "trl")


def main() -> None:
    """Print tokens a CPU-second and peak memory of both, and the ratio."""
    asked = _arguments()
    if asked.side:
        _SIDES[asked.side](asked.model, Path(asked.records), asked.batch)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"used {used.ru_utime + used.ru_stime} {used.ru_maxrss}")
        return
    rates = {}
    with tempfile.TemporaryDirectory() as scratch:
        few, many = Path(scratch) / "few.jsonl", Path(scratch) / "many.jsonl"
        tokens = [
            _write(file, asked.model, asked.batch * steps)
            for file, steps in ((few, asked.warm_up), (many, asked.warm_up + asked.steps))
        ]
        for side in asked.only.split(","):
            seconds, peak = zip(*(_run(asked, side, file) for file in (few, many)), strict=True)
            rates[side] = (tokens[1] - tokens[0]) / (seconds[1] - seconds[0])
            print(f"{side}: {rates[side]:.0f} tokens/CPU-s, peak {peak[1] / 2**20:.1f} GiB")
    if len(rates) == len(SIDES):
        print(f"ours / trl: {rates['ours'] / rates['trl']:.2f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a transformers folder or a named model")
    parser.add_argument("--batch", type=int, default=8, help="trajectories a step")
    parser.add_argument("--warm-up", type=int, default=2, help="steps that do not count")
    parser.add_argument("--steps", type=int, default=6, help="steps that count")
    parser.add_argument("--only", default=",".join(SIDES))
    parser.add_argument("--side", default="", help=argparse.SUPPRESS)
    parser.add_argument("--records", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(asked: argparse.Namespace, side: str, records: Path) -> tuple[float, int]:
    """CPU seconds and peak KiB of one side on one file."""
    command = [sys.executable, __file__, "--side", side, "--records", str(records)]
    command += ["--model", asked.model, "--batch", str(asked.batch)]
    threads = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=threads, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
    _, seconds, peak = done.stdout.splitlines()[-1].split()
    return float(seconds), int(peak)


def _write(file: Path, model: str, count: int) -> int:
    """Write gold trajectories of the embedded train questions; returns their tokens."""
    from agent_model.data.gold_teacher import gold_episodes
    from agent_model.tokens import encode
    from autocoa_bench import tasks
    from autocoa_bench.search.bm25 import BM25
    from autocoa_bench.types import Record, Trajectory

    tokenizer = _tokenizer(model)
    questions = tasks.resolve("musique")[0].load("train")
    taught = gold_episodes(questions, BM25("embedded-train", top_k=2), 0, (1, 2))
    solved = (
        (question, episode) for question, episode in taught if isinstance(episode, Trajectory)
    )
    chosen = list(itertools.islice(solved, count))
    lines = [msgspec.json.encode(Record(question, 0, episode)) for question, episode in chosen]
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return sum(len(encode(trajectory, tokenizer).ids) for _, trajectory in chosen)


def _tokenizer(model: str) -> object:
    from transformers import AutoTokenizer

    from agent_model.training.model import checkpoint_of

    return AutoTokenizer.from_pretrained(checkpoint_of(model))


def _ours(model: str, records: Path, batch: int) -> None:
    from rich.console import Console

    from agent_model.training.config import SFTConfig
    from agent_model.training.sft import train

    recipe = SFTConfig(
        stage="sft2",
        model=model,
        data=(str(records),),
        lora=None,
        held_out=0.0,
        dtype="bf16",
        epochs=1,
        batch=batch,
        micro_tokens=4096,
        checkpoint_every=10**6,
    )
    with tempfile.TemporaryDirectory() as scratch:
        train(recipe, Path(scratch), Console(stderr=True))


def _trl(model: str, records: Path, batch: int) -> None:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from agent_model.tokens import encode
    from agent_model.training.masks import TRAINED_KINDS
    from agent_model.training.model import checkpoint_of
    from autocoa_bench.types import Record

    torch.set_num_threads(1)
    folder = checkpoint_of(model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for line in records.read_bytes().splitlines():
        trajectory = msgspec.json.decode(line, type=Record).trajectory
        assert trajectory is not None
        encoded = encode(trajectory, tokenizer)
        pairs = zip(encoded.ids, encoded.kinds, strict=True)
        labels = [token if kind in TRAINED_KINDS["sft2"] else -100 for token, kind in pairs]
        rows.append({"input_ids": list(encoded.ids), "labels": labels})
    with tempfile.TemporaryDirectory() as scratch:
        settings = SFTConfig(
            output_dir=scratch,
            per_device_train_batch_size=batch,
            num_train_epochs=1,
            max_length=None,
            use_cpu=True,
            bf16=True,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        SFTTrainer(loaded, settings, train_dataset=Dataset.from_list(rows)).train()


_SIDES = {"ours": _ours, "trl": _trl}

if __name__ == "__main__":
    main()
