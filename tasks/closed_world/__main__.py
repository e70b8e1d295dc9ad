"""Prints the hashes that `tasks/embedded.toml` holds, after a deliberate change of the world."""

from hashlib import sha256

from autocoa_bench.tasks import Split, questions_sha256
from tasks.closed_world.encyclopedia import corpus_jsonl
from tasks.closed_world.questions.build import COUNTS, all_questions

SIDES: tuple[Split, ...] = ("test", "train")

for side in SIDES:
    print(f"corpus {side}: {sha256(corpus_jsonl(side)).hexdigest()}")
    for task in COUNTS:
        print(f"{task} {side}: {questions_sha256(all_questions(task, side))}")
