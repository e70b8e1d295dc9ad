"""Prints the hashes that `embedded.toml` holds, after a deliberate change of a world."""

from hashlib import sha256

from autocoa_bench import registry
from autocoa_bench.tasks import questions_sha256
from tasks.embedded import CORPUS_SHA256, QUESTIONS_SHA256, corpus_jsonl
from tasks.temporal import sets

for world, generate in (("world", corpus_jsonl), ("temporal", sets.corpus_jsonl)):
    for split in CORPUS_SHA256[world]:
        print(f"corpus {world} {split}: {sha256(generate(split)).hexdigest()}")
for name, splits in QUESTIONS_SHA256.items():
    for split in splits:
        print(f"{name} {split}: {questions_sha256(registry.load('tasks', name).compose(split))}")
