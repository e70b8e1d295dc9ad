"""verl itself, where it is installed, reads what is handed over to it and plays from it.

Its worker, dataset, configuration, reward manager and losses are the real ones; its servers, which
need a GPU, are a script.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent_model.trainer_export.folder import read_recipe
from agent_model.trainer_export.write import export_recipe
from agent_model.training.config import LoraConfig
from autocoa_bench.errors import SearchFault
from autocoa_bench.search.bm25 import BM25
from support.search_server import served
from support.towers import recipe, teach

pytest.importorskip("verl", reason="there is no verl")
pytestmark = pytest.mark.slow

LOOK = "I look.\n<begin_search> tower </end_search>"
ANSWER = "So.\n</think>\n\n\\boxed{Anna}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("place")
    teach(folder, "sft2", [([ANSWER], ())], "Anna", steps=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(folder / "cache"))
        yield folder


def composed(folder: Path) -> Any:
    """The configuration as verl's main program composes it from the command in the README."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(folder), version_base=None):
        return compose("grpo")


class Servers:
    """In place of verl's: the second of every three episodes answers Bert, the others search."""

    def __init__(self, tokenizer: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self._tokenizer = tokenizer
        self._sessions: list[str] = []

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]
    ) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        self.requests.append(sampling_params)
        if request_id not in self._sessions:
            self._sessions.append(request_id)
        first = "<search_result>" not in self._tokenizer.decode(prompt_ids)
        text = LOOK if first else ANSWER
        if self._sessions.index(request_id) % 3 == 1:
            text = "I know it.\n</think>\n\n\\boxed{Bert}"
        ids = self._tokenizer(text, add_special_tokens=False).input_ids
        ended = [] if text == LOOK else [self._tokenizer.eos_token_id]
        return TokenOutput(token_ids=[*ids, *ended], extra_fields={"min_global_steps": 3})


class Played:
    """A batch of two rows, three episodes each, played by verl's worker."""

    def __init__(self, folder: Path) -> None:
        from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
        from verl.protocol import DataProto
        from verl.trainer.ppo.reward import load_reward_manager
        from verl.utils import hf_tokenizer
        from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

        self.recipe = read_recipe(folder)
        self.config = composed(folder)
        self.tokenizer = hf_tokenizer(self.config.actor_rollout_ref.model.path)
        self.data = RLHFDataset(self.config.data.train_files, self.tokenizer, self.config.data)
        self.servers = Servers(self.tokenizer)

        async def play() -> Any:
            rewards = load_reward_manager(self.config, self.tokenizer)
            handle = SimpleNamespace(compute_score=SimpleNamespace(remote=rewards.run_single))
            worker = AgentLoopWorker(self.config, self.servers, reward_loop_worker_handles=[handle])
            rows = collate_fn([self.data[i] for i in (0, 0, 0, 1, 1, 1)])
            batch = DataProto.from_single_dict(rows)
            batch.meta_info = {"global_steps": 1, "validate": False}
            return await worker.generate_sequences(batch)

        self.output = asyncio.run(play())
        self.batch = self.output.batch

    def texts(self, wanted: int) -> list[str]:
        """What the tokens of the responses spell that the mask says `wanted` of."""
        length = self.batch["responses"].shape[1]
        real = self.batch["attention_mask"][:, -length:].bool()
        chosen = real & (self.batch["response_mask"] == wanted)
        pairs = zip(self.batch["responses"], chosen, strict=True)
        return [self.tokenizer.decode(ids[keep]) for ids, keep in pairs]


@pytest.fixture(scope="module")
def played(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("verl")
    export_recipe(recipe(place, group=3, by_std=True, kl=0.05), "verl", folder)
    return Played(folder)


def leaves(tree: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*before, key))
        else:
            yield (*before, key)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
def test_every_value_of_the_configuration_is_one_of_verls(
    place: Path, tmp_path: Path, lora: LoraConfig | None
) -> None:
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    export_recipe(recipe(place, lora=lora), "verl", tmp_path)
    with initialize_config_module("verl.trainer.config", version_base=None):
        known = compose("ppo_trainer")
    written = OmegaConf.to_container(OmegaConf.load(tmp_path / "grpo.yaml"))
    assert isinstance(written, dict)
    del written["hydra"], written["defaults"]
    for *path, name in leaves(written):
        assert name in list(OmegaConf.select(known, ".".join(path))), (*path, name)


def test_verl_takes_the_recipes_values(played: Played) -> None:
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    config = played.config
    reference, critic = need_reference_policy(config), need_critic(config)
    assert (reference, critic) == (True, False)
    validate_config(config, use_reference_policy=reference, use_critic=critic)
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    assert (actor.optim.lr, actor.ppo_mini_batch_size) == (5e-4, 4)
    rollout = omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    assert (rollout.n, rollout.temperature, rollout.response_length) == (3, 0.6, 2048)


def test_verls_dataset_reads_the_questions(played: Played) -> None:
    assert len(played.data) == 16
    row = played.data[3]
    assert row["raw_prompt"] == [{"role": "user", "content": "Question: Who built tower 3?"}]
    assert row["reward_model"]["ground_truth"] == ["Anna"]
    assert row["agent_name"] == "autocoa"


def test_verl_learns_from_what_the_policy_said_and_from_no_observation(played: Played) -> None:
    wrong = "I know it.\n</think>\n\n\\boxed{Bert}<|im_end|>"
    right = LOOK + ANSWER + "<|im_end|>"
    assert played.texts(1) == [right, wrong, right] * 2
    for shown in (played.texts(0)[i] for i in (0, 2, 3, 5)):
        assert shown.startswith("\n\n<search_result>\nresult 1:")
        assert "Anna built it." in shown


def test_verls_servers_are_asked_with_the_stop_strings_and_the_end_of_turn(played: Played) -> None:
    for request in played.servers.requests:
        assert request["temperature"] == 0.6
        assert request["stop"] == ["</end_search>", "<search_result>"]
        assert request["stop_token_ids"] == [played.tokenizer.eos_token_id]
        assert request["max_tokens"] == 24


def test_verls_reward_manager_gives_our_reward(played: Played) -> None:
    scores = played.batch["rm_scores"].sum(-1).tolist()
    assert scores == pytest.approx([1.0, 0.0, 1.0] * 2)
    assert played.output.non_tensor_batch["em"].tolist() == [1.0, 0.0, 1.0] * 2
    assert played.output.non_tensor_batch["searches"].tolist() == [1.0, 0.0, 1.0] * 2


def test_verls_gradient_by_this_configuration_is_ours(played: Played) -> None:
    import torch
    from verl.trainer.ppo import core_algos
    from verl.utils.config import omega_conf_to_dataclass

    from agent_model.training.grpo.objective import advantages, objective
    from agent_model.training.losses import StepSize, aggregate

    config = played.config
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    mask = played.batch["response_mask"]
    torch.manual_seed(0)
    logps, reference = -torch.rand(2, *mask.shape)
    logps.requires_grad_()

    gained, _ = core_algos.compute_grpo_outcome_advantage(
        played.batch["rm_scores"],
        mask,
        [0, 0, 0, 1, 1, 1],
        norm_adv_by_std_in_grpo=config.algorithm.norm_adv_by_std_in_grpo,
    )
    policy_loss = core_algos.get_policy_loss_fn(actor.policy_loss.loss_mode)
    loss, _ = policy_loss(logps.detach(), logps, gained, mask, actor.loss_agg_mode, actor)
    divergence = core_algos.kl_penalty(logps, reference, actor.kl_loss_type)
    loss += actor.kl_loss_coef * core_algos.agg_loss(divergence, mask, actor.loss_agg_mode)
    [theirs] = torch.autograd.grad(loss, logps)

    keep = mask.bool()
    rewards = torch.tensor([1.0, 0.0, 1.0] * 2).view(2, 3)
    gains = advantages(rewards, by_std=True).flatten()
    rows, lengths = keep.nonzero()[:, 0], keep.sum(1)
    losses = objective(logps[keep], gains[rows], reference=reference[keep], kl=played.recipe.kl)
    size = StepSize(len(mask), int(lengths.sum()), played.recipe.context_tokens)
    total = aggregate(losses, lengths[rows], played.recipe.aggregate, size)
    [ours] = torch.autograd.grad(total, logps)
    assert ours.abs().max() > 1e-3
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-8)


def test_verls_loop_searches_a_server_of_ours(place: Path, tmp_path: Path) -> None:
    with served(BM25(str(place / "corpus.jsonl"), top_k=3)) as server:
        export_recipe(recipe(place, search=server.url, corpus=""), "verl", tmp_path)
        assert "Anna built it." in Played(tmp_path).texts(0)[0]


def test_a_search_that_fails_finds_nothing_and_is_counted(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: BM25, query: str) -> Any:
        raise SearchFault("timeout", "too slow")

    monkeypatch.setattr(BM25, "search", fail)
    export_recipe(recipe(place), "verl", tmp_path)
    played = Played(tmp_path)
    assert played.texts(0)[0] == "\n\n<search_result>\nNo passage was found.\n</search_result>\n\n"
    assert played.output.non_tensor_batch["search_faults"].tolist() == [1, 0, 1] * 2
