"""Mutants: small changes of the code, each of which some test should notice.

    make mutants          (or: python benchmarks/mutants.py [--each N] [--seed S] [MODULE ...])

cosmic-ray lists all mutants of the modules below; `--each` of each module are drawn at random. A
mutant is killed if the module's tests fail, and survives if they pass: then a test is missing, or
the change makes no difference. The mutants live in a copy of the checkout. The survivors' diffs are
printed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkResult

ROOT = Path(__file__).parents[1]
MODULES = {
    "autocoa_bench/episode/loop.py": "tests/episode",
    "autocoa_bench/episode/neutralise.py": "tests/episode",
    "autocoa_bench/episode/answer_text.py": "tests/episode",
    "autocoa_bench/scoring/scorer.py": "tests/scoring",
    "autocoa_bench/scoring/text.py": "tests/scoring",
    "autocoa_bench/scoring/evidence.py": "tests/scoring",
    "autocoa_bench/stats.py": "tests/test_stats.py tests/judge/test_judge_correction.py",
    "autocoa_bench/runs/resume.py": ("tests/runs/test_scores.py tests/runs/test_provenance.py"),
    "autocoa_bench/runs/run_folder.py": "tests/runs/test_run_folder.py tests/runs/test_scores.py",
    "autocoa_bench/util/json_lines.py": "tests/util tests/runs/test_run_folder.py",
    "agent_model/tokens.py": "tests/agent_model/test_tokens.py",
    "agent_model/training/masks.py": "tests/agent_model/test_tokens.py "
    "tests/agent_model/training/test_data.py tests/agent_model/training/grpo/test_train.py",
    "agent_model/training/losses.py": "tests/agent_model/training/test_losses.py",
    "agent_model/training/grpo/objective.py": "tests/agent_model/training/grpo/test_objective.py",
    "agent_model/training/checkpoints.py": "tests/agent_model/training/test_damage.py "
    "tests/agent_model/training/grpo/test_warm_start.py",
}
EQUIVALENT = ("core/NoOp", "core/ReplaceBinaryOperator_BitOr")
"""Operators that change nothing here: annotations are not evaluated."""
SECONDS = 240
"""How long the tests of one mutant may take; a mutant that makes them hang is killed."""


def mutants(module: str, count: int, seed: int) -> list[MutationSpec]:
    """At most `count` mutants of a module, drawn at random, at most one for a place."""
    places: dict[tuple[int, int], list[MutationSpec]] = {}
    for item in _all_work_items([Path(module)], {}):
        [mutation] = item.mutations
        if not mutation.operator_name.startswith(EQUIVALENT):
            places.setdefault(mutation.start_pos, []).append(mutation)
    rng = random.Random(f"{seed}:{module}")
    chosen = rng.sample(sorted(places), min(count, len(places)))
    return [rng.choice(places[place]) for place in sorted(chosen)]


def copy_checkout(target: Path) -> None:
    """Copy all files that git tracks or would track."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def test(mutation: MutationSpec, tests: str) -> WorkResult:
    """The outcome of a module's tests with one mutant in place."""
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider -p no:randomly {tests}"
    return mutate_and_test([mutation], command, SECONDS)


def main() -> None:
    """Test the mutants and print what survives."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("modules", nargs="*", help="modules of the list; default: all")
    parser.add_argument("--each", type=int, default=8, help="mutants of a module")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    survivors, total = [], 0
    with tempfile.TemporaryDirectory() as folder:
        copy_checkout(Path(folder))
        os.chdir(folder)
        os.environ["PYTHONPATH"] = folder
        for module in arguments.modules or MODULES:
            started = time.monotonic()
            drawn = mutants(module, arguments.each, arguments.seed)
            outcomes = [(mutation, test(mutation, MODULES[module])) for mutation in drawn]
            alive = [
                result for _, result in outcomes if result.test_outcome is not TestOutcome.KILLED
            ]
            survivors += alive
            total += len(drawn)
            seconds = time.monotonic() - started
            print(f"{module}: {len(drawn) - len(alive)} of {len(drawn)} killed, {seconds:.0f} s")
            for result in alive:
                print(result.diff or result.output, flush=True)
    print(f"{total - len(survivors)} of {total} mutants killed")


if __name__ == "__main__":
    main()
