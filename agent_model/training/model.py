"""The model in training: loaded from any source, with or without LoRA, behind one forward pass."""

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

from agent_model.training.config import LoraConfig, TrainingConfig, read_adapter
from agent_model.training.files import first_line
from agent_model.training.losses import token_logps
from agent_model.training.packing import MIN_SHARED_PREFIX, pack
from autocoa_bench.engines.tokenizer import Tokenizer
from autocoa_bench.engines.transformers import attention
from autocoa_bench.engines.weights import huggingface, models
from autocoa_bench.errors import UserError, import_extra
from autocoa_bench.util.paths import cache_dir, locked
from autocoa_bench.util.scratch import whole


class Policy(nn.Module):
    """A causal language model that scores given tokens.

    All computation goes through `forward`, so that a wrapper for many processes sees all of it.
    With `packs_rows`, the rows of a batch are computed as one sequence: no padding, and a prefix
    that rows share (a prompt, the context of a pair) once for all of them. The same to rounding.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.packs_rows = False

    def forward(self, ids: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-probabilities (N,) of the tokens at `mask` (B, T) in `ids` (B, T), in row order, as
        sampled at a temperature."""
        head = self.inner.get_output_embeddings()
        # A token is scored from the position before it, so a row ends before its last scored one.
        lengths = (mask * torch.arange(mask.shape[1], device=mask.device)).amax(1)
        return token_logps(self.hidden(ids, lengths), head, ids, mask, temperature)

    def hidden(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The decoder's last states (B, T, D), arbitrary after the first `lengths` (B,) of a row;
        rows padded on the right need no mask."""
        decoder = self.inner.base_model
        if not self.packs_rows or not lengths.any():
            states: Tensor = decoder(input_ids=ids, use_cache=False).last_hidden_state
            return states
        packed = pack(ids, lengths)
        states = decoder(
            input_ids=packed.ids,
            position_ids=packed.positions,
            # Transformers passes a mask of four dimensions on, and would make one from positions.
            attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=ids.device),
            pieces=packed.pieces,
            use_cache=False,
        ).last_hidden_state
        return states[0][packed.places]

    @property
    def inner(self) -> Any:
        """The transformers model, without the adapter around it."""
        return self.model.get_base_model() if self.adapted else self.model

    @property
    def adapted(self) -> bool:
        """True if an adapter is trained rather than the model itself."""
        return isinstance(self.model, peft.PeftModel)

    def save(
        self, folder: Path, base: str, tokenizer: Tokenizer, state: dict[str, Tensor] | None = None
    ) -> None:
        """Write a PEFT folder that names its base `base`, or a full model with its tokenizer.

        `state` holds the full weights if this process has only shards of them.
        """
        if self.adapted:
            self.model.peft_config["default"].base_model_name_or_path = base
            self.model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=state)
            (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
            return
        self.model.save_pretrained(folder, state_dict=state)
        tokenizer.save_pretrained(folder)


@contextmanager
def eval_mode(policy: Policy) -> Iterator[None]:
    """Put the policy into evaluation mode, then back: layers that recompute activations in training
    would otherwise drop the cache."""
    training = policy.training
    policy.eval()
    try:
        yield
    finally:
        policy.train(training)


def load_policy(config: TrainingConfig) -> tuple[Policy, Tokenizer]:
    """The model, with a new or a loaded adapter, and its tokenizer.

    Raises UserError if it cannot be loaded, or if its head is more than a matrix.
    """
    source = checkpoint_of(config.model)
    dtype = dtype_of(config.dtype)
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    on_cpu = not torch.cuda.is_available()
    try:
        tokenizer: Any = huggingface.tokenizer_at(source)
        kernel = attention.register() if on_cpu else "sdpa"
        model = huggingface.model_at(source, source, dtype=dtype, attn_implementation=kernel)
    except UserError as error:
        raise UserError(
            f"cannot load the model '{config.model}' ({first_line(error)}); give a folder in "
            f"transformers' format, a Hub id or one of {', '.join(_pulled())}"
        ) from None
    torch.manual_seed(config.seed)  # for a new adapter's weights
    if config.adapter:
        model = _load_adapter(model, config)
    elif config.lora:
        model = _add_lora(model, config.lora)
    _disable_dropout(model)
    policy = Policy(model).eval()
    _check_head(policy, config.model)
    policy.packs_rows = on_cpu and _can_pack(policy)
    if config.gradient_checkpointing:
        policy.inner.activation_checkpointing_enable({"use_reentrant": False})
    policy.train()
    return policy, tokenizer


def checkpoint_of(model: str) -> str:
    """A folder or Hub id unchanged; for a pulled model's name, a folder converted once and cached.

    Raises UserError if the folder cannot be written.
    """
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
            f"cannot write the model '{model}' to '{folder.parent}' ({first_line(error)}); make "
            "room there, or set AUTOCOA_BENCH_CACHE to another folder"
        ) from None
    return str(folder)


def base_identity(model: str, policy: Policy) -> str:
    """The SHA-256 of a base model's weights, or the revision of a Hub model."""
    if model in _pulled() or Path(model).is_dir():
        return huggingface.fingerprint(model)
    return str(getattr(policy.inner.config, "_commit_hash", None) or "")


def trainable(policy: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The names and values of the trainable weights, in a fixed order."""
    return ((name, weight) for name, weight in policy.named_parameters() if weight.requires_grad)


def dtype_of(name: str) -> torch.dtype:
    """The dtype that a recipe names; auto is bf16 if this machine multiplies it in hardware."""
    if name == "auto" and torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    elif name == "auto":
        cpu = Path("/proc/cpuinfo")  # Linux has it
        flags = cpu.read_text(encoding="utf-8") if cpu.exists() else ""
        has_bf16 = "avx512_bf16" in flags or "amx_bf16" in flags
    else:
        has_bf16 = name == "bf16"
    return torch.bfloat16 if has_bf16 else torch.float32


def _pulled() -> list[str]:
    return [model.name for model in models.known_models()]


def _convert(file: Path, folder: Path) -> None:
    """Convert a GGUF file to transformers' format; the caller holds the lock."""
    # Transformers reads such files with it.
    import_extra("gguf", "training a model that is stored as GGUF", "embedded")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype=torch.bfloat16,
        quantization_config=transformers.GgufConfig(dequantize=True),
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    with whole(folder) as new:
        loaded.save_pretrained(new)
        tokenizer.save_pretrained(new)


def _add_lora(model: Any, lora: LoraConfig) -> Any:
    config = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.targets), task_type="CAUSAL_LM"
    )
    try:  # adapters keep the model's dtype: in fp32 they would cost casts at every layer
        return peft.get_peft_model(model, config, autocast_adapter_dtype=False)
    except (RuntimeError, ValueError) as error:  # out of memory, unknown targets
        raise UserError(f"cannot add an adapter to this model: {first_line(error)}") from None


def _load_adapter(model: Any, config: TrainingConfig) -> Any:
    """The model with the recipe's adapter. Raises UserError if any of its weights is missing, or if
    its shape or base model is not the recipe's."""
    folder = config.adapter
    lora, base = read_adapter(folder)
    expected, actual = _shape(config.lora or lora), _shape(lora)
    if expected != actual:
        raise UserError(
            f"the adapter '{folder}' has {actual}, but the recipe's lora has {expected}; an "
            "adapter keeps its shape, so leave lora out"
        )
    folders = Path(base), Path(config.model)
    same_folder = all(map(Path.is_dir, folders)) and folders[0].samefile(folders[1])
    if base and base != config.model and not same_folder:
        raise UserError(
            f"the adapter '{folder}' was trained on the model '{base}', but the recipe's "
            f"model is '{config.model}'; give that model, or another adapter"
        )
    with huggingface.loading(f"the adapter '{folder}'"):
        adapted = peft.PeftModel.from_pretrained(
            model, folder, is_trainable=True, autocast_adapter_dtype=False
        )
    huggingface.check_adapter(adapted, Path(folder), config.model)
    return adapted


def _shape(lora: LoraConfig) -> str:
    return f"rank {lora.rank}, alpha {lora.alpha} and targets {', '.join(sorted(lora.targets))}"


def _disable_dropout(model: nn.Module) -> None:
    """Set all dropout to 0: GRPO's ratios need the probabilities tokens were sampled with, and a
    resumed run must repeat an uninterrupted one."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", 0.0)  # noqa: B010 - a plain number to torch


def _check_head(policy: Policy, name: str) -> None:
    """Refuse a model whose logits are not its head times its last states (a soft cap, a scale)."""
    vocabulary = policy.inner.get_output_embeddings().weight.shape[0]
    ids = torch.arange(2, 10).remainder(vocabulary)[None]
    try:
        with torch.no_grad():
            expected = policy.inner(input_ids=ids).logits
            states = policy.hidden(ids, torch.tensor([ids.shape[1]]))
            actual = policy.inner.get_output_embeddings()(states)
    except ValueError as error:  # raised by our attention
        raise UserError(f"the model '{name}' cannot be trained here: {first_line(error)}") from None
    if not torch.allclose(actual.float(), expected.float(), rtol=0.05, atol=0.05):
        raise UserError(
            f"the model '{name}' computes its logits by more than one matrix, which this trainer "
            "does not support; export the data and train the model with another tool"
        )


@torch.no_grad()
def _can_pack(policy: Policy) -> bool:
    """True if the model computes the same from packed rows: it does not if a layer looks through a
    window, or if its state is more than keys and values."""
    config = policy.inner.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    if set(kinds) != {"full_attention"} or getattr(config, "sliding_window", None):
        return False
    vocabulary = policy.inner.get_output_embeddings().weight.shape[0]
    ids = torch.arange(2, 2 + MIN_SHARED_PREFIX + 8).remainder(vocabulary).repeat(2, 1)
    ids[1, MIN_SHARED_PREFIX:] = ids[1, MIN_SHARED_PREFIX:].flip(0)
    lengths = torch.tensor([ids.shape[1]] * 2)
    expected = policy.hidden(ids, lengths)
    policy.packs_rows = True
    try:
        states = policy.hidden(ids, lengths)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return False
    finally:
        policy.packs_rows = False
    return bool((states - expected).norm() < 0.1 * expected.norm())
