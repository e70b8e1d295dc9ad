"""Which adapter a run puts on its model, and that its tables say so."""

from pathlib import Path

import pytest

from autocoa_bench.engines import model_name
from autocoa_bench.engines.weights.models import DEFAULT, sha256_of
from autocoa_bench.runs import config
from autocoa_bench.runs.executor import adapter_path
from autocoa_bench.runs.solvers import load_solver
from autocoa_bench.types import EngineSpec

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("engine", "model", "adapter", "chosen"),
    [
        ("embedded", "", "", "shipped.gguf"),
        ("embedded", DEFAULT, "", "shipped.gguf"),
        ("embedded", DEFAULT, "none", ""),
        ("embedded", DEFAULT, "own.gguf", "own.gguf"),
        ("embedded", "other.gguf", "", ""),
        ("openai", DEFAULT, "", ""),
        ("openai", DEFAULT, "own", "own"),
    ],
)
def test_the_shipped_adapter_is_taken_where_nothing_else_is_asked_for(
    engine: str, model: str, adapter: str, chosen: str
) -> None:
    solver = load_solver("react")._replace(adapters={DEFAULT: Path("shipped.gguf")})
    plan = config.RunConfig(solver="react", tasks="nq", model=model, engine=engine, adapter=adapter)
    assert adapter_path(plan, solver) == chosen


@pytest.mark.parametrize("folder", ["agent_model/adapters", "autocoa_bench/judge/adapters"])
def test_each_adapter_that_ships_is_the_one_its_card_is_about(folder: str) -> None:
    card = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    shipped = [sha256_of(file) for file in (ROOT / folder).glob("*.gguf")]
    assert shipped
    assert all(sha256 in card for sha256 in shipped)


def test_the_adapter_stands_beside_the_models_name() -> None:
    bare = EngineSpec("embedded", "m", "template")
    adapted = EngineSpec("embedded", "m", "template", {"adapter": "trained"})
    assert (model_name(bare), model_name(adapted)) == ("m", "m + trained")
