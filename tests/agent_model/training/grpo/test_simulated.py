"""The simulated environment rewards invention, and the rows of a run show it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent_model.training.config import EvalConfig, SimulationConfig
from autocoa_bench.types import Passage, Record
from support.towers import recipe, teach, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model that searches, finds one of three names and answers it, all of it learned; in the
    real environment it is Carl, and the rewarded answer Anna."""
    folder = tmp_path_factory.mktemp("place")
    search = "I look.\n<begin_search> tower </end_search>"
    episodes = [
        (
            [search, f"So.\n</think>\n\n\\boxed{{{name}}}"],
            [Passage("p", "Tower", f"{name} built it.")],
        )
        for name in ("Anna", "Bert", "Carl")
    ]
    teach(folder, "sft3", episodes, "Carl", steps=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(folder / "cache"))
        yield folder


def invented(out: Path) -> list[str]:
    """The first results that the kept rollouts of the last three steps were shown."""
    decoder = msgspec.json.Decoder(Record)
    files = sorted((out / "rollouts").iterdir())[-3:]
    records = [each for file in files for each in decoder.decode_lines(file.read_bytes())]
    return [each.trajectory.steps[0].observation for each in records if each.trajectory]


def test_rewarded_results_are_invented_and_earn_nothing_in_the_real_environment(
    place: Path, tmp_path: Path
) -> None:
    config = recipe(
        place,
        lr=1e-3,
        batch=6,
        group=6,
        max_steps=10,
        simulated_steps=10,
        learn_simulated=True,
        simulation=SimulationConfig(temperature=0.6),
        result_tokens=48,
        step_tokens=48,
        top_k=1,
    )
    live = EvalConfig(
        tasks=config.tasks, corpus=config.corpus, solver=config.solver, count=4, every=1
    )
    rows = train(msgspec.structs.replace(config, live=live), tmp_path / "out")
    assert rows[0].reward < 0.6
    assert rows[-1].reward > 0.8
    shown = invented(tmp_path / "out")
    assert len(shown) == 18
    assert sum("Anna built it." in each for each in shown) > 13
    assert (rows[0].live_em, rows[-1].live_em) == (0.0, 0.0)  # it answers Carl, as it is shown
