"""The model in training: loaded from anywhere, with or without LoRA, behind one forward pass."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn

from agent_model.tokens import Tokenizer
from agent_model.training import attention
from agent_model.training.config import LoraConfig, TrainingConfig, read_adapter
from agent_model.training.files import first_line
from agent_model.training.losses import token_logps
from autocoa_bench.engines.weights import huggingface, models
from autocoa_bench.errors import MissingExtra, UserError
from autocoa_bench.util.paths import cache_dir, locked

WORTH_SHARING = 32
"""Tokens that a batch's rows begin with in common, from which on they are computed once."""


class Policy(nn.Module):
    """A causal language model that scores given tokens.

    All computing goes through `forward`, so that a wrapper for many processes sees all of it.
    Where it `shares`, what all rows of a batch begin with (a prompt's fixed text, the context of
    a pair) is computed once for all of them: the same to rounding.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.shares = False

    def forward(self, ids: Tensor, keep: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-probabilities (N,) of the tokens at `keep` (B, T) in `ids` (B, T), in row order, as
        they are sampled at a temperature."""
        head = self.inner.get_output_embeddings()
        return token_logps(self.hidden(ids), head, ids, keep, temperature)

    def hidden(self, ids: Tensor) -> Tensor:
        """The decoder's last states (B, T, D); rows padded on the right need no mask."""
        decoder = self.inner.base_model
        shared = common_beginning(ids) if self.shares else 0
        if shared < WORTH_SHARING:
            states: Tensor = decoder(input_ids=ids, use_cache=False).last_hidden_state
            return states
        cache: Any = transformers.DynamicCache()
        first = decoder(input_ids=ids[:1, :shared], cache=cache, use_cache=True).last_hidden_state
        for layer in cache.layers:  # gradients of all rows add up in it
            layer.keys = layer.keys.expand(len(ids), -1, -1, -1)
            layer.values = layer.values.expand(len(ids), -1, -1, -1)
        rest = decoder(input_ids=ids[:, shared:], cache=cache, use_cache=True).last_hidden_state
        return torch.cat((first.expand(len(ids), -1, -1), rest), 1)

    @property
    def inner(self) -> Any:
        """The transformers model below a possible adapter."""
        return self.model.get_base_model() if self.adapted else self.model

    @property
    def adapted(self) -> bool:
        """Whether an adapter learns, and not the model itself."""
        return isinstance(self.model, peft.PeftModel)

    def save(
        self, folder: Path, base: str, tokenizer: Tokenizer, state: dict[str, Tensor] | None = None
    ) -> None:
        """Write a PEFT folder that names its base `base`, or a whole model with its tokenizer.

        `state` holds the weights where this process has but a slice of them.
        """
        if self.adapted:
            self.model.peft_config["default"].base_model_name_or_path = base
            self.model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=state)
            (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
            return
        self.model.save_pretrained(folder, state_dict=state)
        tokenizer.save_pretrained(folder)


def common_beginning(ids: Tensor) -> int:
    """How many tokens the rows of a batch (B, T) begin with in common, of several rows; at most all
    but one."""
    alike = (ids == ids[:1]).all(0)[:-1].int().cumprod(0)
    return int(alike.sum()) if len(ids) > 1 else 0


@contextmanager
def at_rest(policy: Policy) -> Iterator[None]:
    """While it lasts, the policy is played and not trained: no layer drops its cache to compute
    activations anew. It then is as it was."""
    training = policy.training
    policy.eval()
    try:
        yield
    finally:
        policy.train(training)


def load_policy(recipe: TrainingConfig) -> tuple[Policy, Tokenizer]:
    """The recipe's model, with its adapter new or loaded, and its tokenizer.

    Raises UserError where it cannot be loaded or its head is more than a matrix.
    """
    source = checkpoint_of(recipe.model)
    dtype = dtype_of(recipe.dtype)
    _hush()
    blocked = dtype is torch.bfloat16 and not torch.cuda.is_available()
    try:
        tokenizer: Any = huggingface.tokenizer_at(source)
        with huggingface.loading(f"'{source}'"):
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                source,
                dtype=dtype,
                attn_implementation=attention.register() if blocked else "sdpa",
                output_loading_info=True,
            )
        model, found = loaded
        huggingface.check_complete(source, found)
    except UserError as error:
        raise UserError(
            f"cannot load the model '{recipe.model}' ({first_line(error)}); give a folder in "
            f"transformers' format, a Hub id or one of {', '.join(_pulled())}"
        ) from None
    torch.manual_seed(recipe.seed)  # a new adapter's weights
    if recipe.adapter:
        model = _with_adapter(model, recipe)
    elif recipe.lora:
        model = _with_lora(model, recipe.lora)
    _without_dropout(model)
    policy = Policy(model).eval()
    _check_head(policy, recipe.model)
    # Checkpointed activations leave no cache, and elsewhere a mask costs PyTorch's fast kernels.
    policy.shares = blocked and not recipe.gradient_checkpointing and _can_share(policy)
    if recipe.gradient_checkpointing:
        policy.inner.activation_checkpointing_enable({"use_reentrant": False})
    policy.train()
    return policy, tokenizer


def checkpoint_of(model: str) -> str:
    """A folder or Hub id as it is; a pulled model's name as a folder converted once and kept."""
    if model not in _pulled():
        return model
    file = models.resolve(model)
    folder = cache_dir("checkpoints") / f"{model}-{file.sha256[:8]}"
    try:
        with locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.exists():
                _convert(file.path, folder)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"cannot keep the model '{model}' in '{folder.parent}' ({first_line(error)}); make "
            "room there, or set AUTOCOA_BENCH_CACHE to another folder"
        ) from None
    return str(folder)


def base_identity(model: str, policy: Policy) -> str:
    """The SHA-256 of a base's weights; of a Hub model, its revision."""
    if model in _pulled() or Path(model).is_dir():
        return huggingface.fingerprint(model)
    return str(getattr(policy.inner.config, "_commit_hash", None) or "")


def trainable(policy: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The named weights that learn, in a fixed order."""
    return ((name, each) for name, each in policy.named_parameters() if each.requires_grad)


def _convert(file: Path, folder: Path) -> None:
    """Write a GGUF file's model in transformers' format, aside and renamed; the lock is held."""
    try:
        import gguf  # noqa: F401 - transformers reads such files with it
    except ImportError:
        raise MissingExtra("training a model that is kept as GGUF", "embedded") from None
    for left in folder.parent.glob(f"{folder.name}.*.part"):  # of a process that was killed
        shutil.rmtree(left)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype=torch.bfloat16,
        quantization_config=transformers.GgufConfig(dequantize=True),
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    loaded.save_pretrained(part)
    tokenizer.save_pretrained(part)
    part.replace(folder)


def _with_lora(model: Any, lora: LoraConfig) -> Any:
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=list(lora.targets),
        task_type="CAUSAL_LM",
    )
    try:  # adapters stay in the model's dtype: in fp32 they would cost casts at every layer
        return peft.get_peft_model(model, config, autocast_adapter_dtype=False)
    except (RuntimeError, ValueError) as error:  # of memory, of targets
        raise UserError(f"no adapter can be put on this model: {first_line(error)}") from None


def _with_adapter(model: Any, recipe: TrainingConfig) -> Any:
    """The model with the recipe's adapter, every weight of it and no other."""
    folder = recipe.adapter
    _check_adapter(recipe)
    with huggingface.loading(f"the adapter '{folder}'"):
        adapted = peft.PeftModel.from_pretrained(
            model, folder, is_trainable=True, autocast_adapter_dtype=False
        )
    huggingface.check_adapter(adapted, Path(folder), recipe.model)
    return adapted


def _without_dropout(model: nn.Module) -> None:
    """What is learned from is then as probable as when it was sampled, and a killed run goes on
    as an unbroken one."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", 0.0)  # noqa: B010 - a plain number to torch


def _check_adapter(recipe: TrainingConfig) -> None:
    """Refuse an adapter of another form than the recipe says, or made for another model."""
    adapter = read_adapter(recipe.adapter)
    lora = recipe.lora or adapter.lora
    given = (lora.rank, lora.alpha, sorted(lora.targets))
    own = (adapter.lora.rank, adapter.lora.alpha, sorted(adapter.lora.targets))
    if given != own:
        raise UserError(
            f"the adapter '{recipe.adapter}' has rank {own[0]}, alpha {own[1]} and targets "
            f"{', '.join(own[2])}, and the recipe's lora has {given[0]}, {given[1]} and "
            f"{', '.join(given[2])}; an adapter keeps its form, so leave lora out"
        )
    if adapter.base and not _same_model(adapter.base, recipe.model):
        raise UserError(
            f"the adapter '{recipe.adapter}' was made on the model '{adapter.base}', and the "
            f"recipe's is '{recipe.model}'; give that model, or another adapter"
        )


def _same_model(one: str, other: str) -> bool:
    folders = Path(one), Path(other)
    return one == other or (all(map(Path.is_dir, folders)) and folders[0].samefile(folders[1]))


def _check_head(policy: Policy, name: str) -> None:
    """Refuse a model whose logits are not its head times its last states (a soft cap, a scale)."""
    vocabulary = policy.inner.get_output_embeddings().weight.shape[0]
    ids = torch.arange(2, 10).remainder(vocabulary)[None]
    try:
        with torch.no_grad():
            expected = policy.inner(input_ids=ids).logits
            ours = policy.inner.get_output_embeddings()(policy.hidden(ids))
    except ValueError as error:  # of the attention
        raise UserError(f"the model '{name}' cannot be trained here: {first_line(error)}") from None
    if not torch.allclose(ours.float(), expected.float(), rtol=0.05, atol=0.05):
        raise UserError(
            f"the model '{name}' does more to its logits than one matrix, which this trainer does "
            "not know how to repeat; export the data and train it with another tool"
        )


@torch.no_grad()
def _can_share(policy: Policy) -> bool:
    """Whether the model computes the same behind a beginning that is computed once: a layer that
    keeps more than keys and values does not."""
    vocabulary = policy.inner.get_output_embeddings().weight.shape[0]
    ids = torch.arange(2, 2 + WORTH_SHARING + 8).remainder(vocabulary).repeat(2, 1)
    ids[1, WORTH_SHARING:] = ids[1, WORTH_SHARING:].flip(0)
    expected = policy.hidden(ids)
    policy.shares = True
    try:
        found = policy.hidden(ids)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return False
    finally:
        policy.shares = False
    return bool((found - expected).norm() < 0.1 * expected.norm())


def _hush() -> None:
    """No bars for every file read, and no warning of what peft calls by its old name."""
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def dtype_of(name: str) -> torch.dtype:
    """The type that a recipe's `dtype` names; auto is bf16 where this machine multiplies it."""
    if name == "auto":
        name = "bf16" if _fast_bf16() else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def _fast_bf16() -> bool:
    """Whether this GPU or CPU multiplies bf16 in hardware."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _pulled() -> list[str]:
    return [model.name for model in models.known_models()]
