"""The scale of a reproduction: models, tasks, amounts of data and of training."""

import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

RECIPES = Path(__file__).parent
"""One folder a scale, with `scale.toml` and the recipe of each training stage."""

_MIN_RL_STEPS = 6  # so that five of six steps can be simulated


class ScaleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a `scale.toml`.

    `base` is the model that everything starts from: a folder relative to the scale's own, or the
    name of a model that `autocoa-bench models` lists. The CoT data comes from `known_tasks`;
    `single_tasks` ask for single facts, of which the known ones add to the CoT data and to the
    pairs, and the others to the pairs and to the CoA data, as a part of their own (`unknown`).
    Stage 3 also learns the observations of trajectories about `observed_tasks` (`observed`), so
    that they can be asked in the simulated environment.
    `limit` is the number of questions a dataset, of which a share leaves at least `min_limit`.
    `counts` holds the number of trajectories or pairs of each kind of data; `rl_steps` counts the
    steps of a variant with one environment. `synth` and `run` are options of those two commands.
    `prompted_solver` is the solver of a model that has not learned to act. `tables` are reported
    beside the claims (`acting` needs questions of known and of unknown facts). `rows` names the
    trained rows, each after the rows that it starts from; empty: all eight. With `replay` every
    stage also learns texts of the base's pretraining. With `closed_book` every trained model is
    also asked the questions of `known_tasks`, which must be among `tasks`, without a search engine.
    """

    name: str
    base: str
    tasks: str
    known_tasks: str
    single_tasks: str = ""
    observed_tasks: str = ""
    limit: int
    min_limit: int
    counts: dict[str, int]
    rl_steps: int
    synth: tuple[str, ...]
    run: tuple[str, ...]
    prompted_solver: str = "agent:shots=2"
    tables: tuple[str, ...] = ("leaderboard", "acting", "actions", "paper")
    rows: tuple[str, ...] = ()
    replay: bool = False
    closed_book: bool = False

    @property
    def recipes(self) -> Path:
        """The folder of the scale's recipes."""
        return RECIPES / self.name

    def base_folder(self) -> Path:
        """The folder of the base model, which is unpacked the first time."""
        folder = self.recipes / self.base
        if folder.is_dir():
            return folder.resolve()
        from agent_model.training.model import checkpoint_of

        return Path(checkpoint_of(self.base))


def load_scale(name: str, share: float = 1.0) -> ScaleConfig:
    """The scale `name`, with a share of its RL steps and of its questions."""
    values = tomllib.loads((RECIPES / name / "scale.toml").read_text(encoding="utf-8"))
    scale = msgspec.convert({"name": name, **values}, ScaleConfig)
    return msgspec.structs.replace(
        scale,
        limit=max(scale.min_limit, round(scale.limit * share)),
        rl_steps=max(_MIN_RL_STEPS, round(scale.rl_steps * share)),
    )
