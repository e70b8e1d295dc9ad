"""Checks the policy as a world model before it learns from what it imagines.

False search results punish searching, so that a policy unlearns it. Here the initial policy
imagines the results of a search for each fact that the questions need, after the text with which
the gold teacher asks for that fact alone. Whether they are true is decided as in `fidelity`.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from msgspec import Struct

from agent_model.data.gold_teacher import fact_search
from agent_model.dialects import Agent
from agent_model.fidelity import facts_stated
from agent_model.rollout.environments import Simulator
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler
from agent_model.training.config import GRPOConfig
from agent_model.training.files import read_json, writing
from agent_model.training.grpo.rollouts import RolloutContext
from agent_model.training.model import eval_mode
from autocoa_bench.engines.tokenizer import traits
from autocoa_bench.episode import Episode, episode
from autocoa_bench.errors import UserError
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Hop,
    ModelTraits,
    Question,
    Record,
    Search,
)
from autocoa_bench.util.json_lines import indented_json, replace_file

FILE = "world_model.json"
"""The name of a check's file in the folder of its run."""

_Fact = tuple[str, str]  # a hop's question and its answer


class WorldModelCheck(Struct, frozen=True):
    """How many of `facts` the initial policy imagines truly, and the questions that it holds: the
    keys (task, id) of those all of whose facts are true, None if the run does not ask for them."""

    facts: int
    true: int
    held: tuple[tuple[str, str], ...] | None = None

    @property
    def fidelity(self) -> float:
        """The share of true facts."""
        return self.true / self.facts


def simulator(config: GRPOConfig, dialect: Agent) -> Simulator:
    """The simulated environment of a recipe."""
    return Simulator(dialect, config.result_tokens, config.top_k, config.simulation.temperature)


def check_world_model(
    context: RolloutContext, step: int, out: Path, accelerator: Accelerator
) -> WorldModelCheck | None:
    """The check of a run's initial policy; None if its recipe asks for none.

    It is made before the first step, and stored in the folder `out` for later sessions. All
    processes must call this. Raises UserError if it fails, cannot be made, or is missing.
    """
    config, file = context.config, out / FILE
    needs_check = config.simulation.min_fidelity or config.simulation.held_facts
    if not config.simulated_steps or not needs_check:
        return None
    [stored] = broadcast_object_list([accelerator.is_main_process and file.exists()])
    if not stored and step:
        raise UserError(f"'{file}' is missing; restore it, or give another --out")
    if stored:
        check = read_json(file, WorldModelCheck, "restore it, or give another --out")
    else:
        check = _measure(context, accelerator)
        if accelerator.is_main_process:
            with writing(file):
                replace_file(file, indented_json(check))
        accelerator.wait_for_everyone()
    _require(check, config)
    return check


def held_questions(check: WorldModelCheck, questions: Sequence[Question]) -> Sequence[int]:
    """The indices of the questions for simulated steps: those that the policy holds, or all."""
    if check.held is None:
        return range(len(questions))
    held = set(check.held)
    return [i for i, question in enumerate(questions) if (question.task, question.id) in held]


def _measure(context: RolloutContext, accelerator: Accelerator) -> WorldModelCheck:
    """Let the processes imagine the facts together."""
    config, setup = context.config, context.setup
    assert isinstance(setup.dialect, Agent)
    hops = {_key(hop): hop for question in setup.questions for hop in question.hops}
    if not hops:
        raise UserError(
            f"the questions of '{config.tasks}' have no gold chains, so imagined results cannot be "
            "checked; set simulation.min_fidelity = 0 and simulation.held_facts = false"
        )
    facts = list(hops)
    if not config.simulation.held_facts:
        n_facts = min(config.simulation.gate_count, len(facts))
        facts = Random(config.seed).sample(facts, n_facts)
    own = facts[accelerator.process_index :: accelerator.num_processes]
    of_model = traits(context.tokenizer)
    rollouts = [
        Rollout(
            _fact_episode(hops[fact], setup.dialect, of_model),
            Random(f"{config.seed}:{fact}"),
        )
        for fact in own
    ]
    sampler = PolicySampler(
        context.policy,
        context.tokenizer,
        max(1, min(config.seats, len(own))),
        config.simulation.temperature,
    )
    with eval_mode(context.policy):
        trajectories = rollout(rollouts, sampler, simulator(config, setup.dialect))
    own_true = [
        fact
        for fact, trajectory in zip(own, trajectories, strict=True)
        if all(facts_stated(Record(_fact_question(hops[fact]), 0, trajectory)))
    ]
    true = set(gather_object(own_true))
    held = None
    if config.simulation.held_facts:
        held = tuple(
            (question.task, question.id)
            for question in setup.questions
            if question.hops and all(_key(hop) in true for hop in question.hops)
        )
    return WorldModelCheck(len(facts), len(true), held)


def _require(check: WorldModelCheck, config: GRPOConfig) -> None:
    """Raises UserError if the policy is no world model to learn from."""
    settings = config.simulation
    imagined = (
        f"the policy imagines {check.true} of {check.facts} facts truly ({check.fidelity:.1%}, "
        f"simulation.temperature {settings.temperature:g})"
    )
    if check.fidelity < settings.min_fidelity:
        raise UserError(
            f"no simulated step was taken: {imagined}, but simulation.min_fidelity is "
            f"{settings.min_fidelity:g}.\nTrain stage 3 longer, or on fewer passages; use "
            "temperature 0; or leave out simulated_steps. Give another --out"
        )
    if check.held is not None and len(check.held) < config.batch:
        raise UserError(
            f"no simulated step was taken: {imagined}, which are all facts of {len(check.held)} "
            f"questions, but a step takes batch = {config.batch}.\nGive a higher count, a smaller "
            "batch, or a model that knows more passages (stage 3), and another --out"
        )


def _key(hop: Hop) -> _Fact:
    return hop.question, hop.answer


def _fact_question(hop: Hop) -> Question:
    return Question("", hop.question, (hop.answer,), hops=(hop,))


def _fact_episode(hop: Hop, dialect: Agent, of_model: ModelTraits) -> Episode:
    """An episode that does nothing but search for a fact; only the results are imagined."""
    events = episode(_fact_question(hop), dialect, Budget(max_actions=1), of_model)
    next(events)
    search = events.send(Completion(fact_search(hop)))
    assert isinstance(search, Search)
    forced = events.send((yield search))
    assert isinstance(forced, Generate)
    try:
        events.send(Completion(""))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("a forced answer ends the episode")
