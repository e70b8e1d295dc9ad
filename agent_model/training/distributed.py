"""Training on several processes, with weights copied to each or sharded over them (FSDP).

With sharding, each process holds a part of every weight, gradient and optimiser state, and weights
are gathered layer by layer for computing. Checkpoints hold full tensors, so a run may resume on
another number of processes, or without sharding.
"""

import ctypes
import platform
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, DistributedType, InitProcessGroupKwargs
from accelerate.utils import parse_flag_from_env
from torch import Tensor
from torch.distributed import ReduceOp, all_reduce, broadcast, get_world_size, is_initialized
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from agent_model.training.model import Policy, trainable
from autocoa_bench.errors import UserError

_PLUG_INS = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG")
_SUPPORTED = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
_TIMEOUT = timedelta(hours=6)  # the main process evaluates alone while the others wait
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_THRESHOLD_BYTES = 2**31 - 1


def create_accelerator(threads: int) -> Accelerator:
    """Set up this process and join the others. `threads` 0 leaves their number to PyTorch.

    Raises UserError for a distribution strategy that is not supported.
    """
    if threads:
        torch.set_num_threads(threads)
    # By default glibc returns every freed activation to the kernel and requests it again page by
    # page, which took a quarter of a step's time.
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _THRESHOLD_BYTES)
    for plug_in in _PLUG_INS:
        if parse_flag_from_env(f"ACCELERATE_USE_{plug_in}"):
            raise _unsupported(plug_in)
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_TIMEOUT)],
    )
    if accelerator.distributed_type not in _SUPPORTED:
        raise _unsupported(accelerator.distributed_type.value)
    return accelerator


def batch_per_process(batch: int, processes: int) -> int:
    """The part of a batch that each process gets. Raises UserError if it cannot be equal."""
    if batch % processes:
        raise UserError(
            f"batch = {batch} cannot be divided evenly among {processes} processes; make it a "
            "multiple of their number"
        )
    return batch // processes


def _unsupported(strategy: str) -> UserError:
    return UserError(
        f"accelerate was told to distribute by {strategy}, which this trainer does not support; "
        "launch it with --multi_gpu, and for sharded weights set sharding = 'fsdp' in the recipe"
    )


def shard(policy: Policy, device: torch.device) -> None:
    """Shard the policy's weights over all processes, decoder layer by decoder layer."""
    mesh = init_device_mesh(device.type, (get_world_size(),))
    precision = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    layers = set(policy.inner._no_split_modules or ())
    for module in list(policy.modules()):
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh, mp_policy=precision)
    fully_shard(policy, mesh=mesh, mp_policy=precision, reshard_after_forward=True)


def broadcast_weights(policy: Policy) -> None:
    """Copy the trainable weights of the first process to all others."""
    if is_initialized():
        for _, weight in trainable(policy):
            broadcast(weight.data, src=0)


def sum_gradients(grads: Sequence[Tensor]) -> None:
    """Replace gradients of copied weights by their sums over all processes.

    FSDP has already summed those of sharded weights.
    """
    if is_initialized() and not any(isinstance(grad, DTensor) for grad in grads):
        for work in [all_reduce(grad, ReduceOp.SUM, async_op=True) for grad in grads]:
            work.wait()


def sum_over_processes(value: float, device: torch.device) -> float:
    """The sum of a number over all processes, which must all call this."""
    return _reduce(value, device, ReduceOp.SUM)


def max_over_processes(value: float, device: torch.device) -> float:
    """The greatest of a number in all processes, which must all call this."""
    return _reduce(value, device, ReduceOp.MAX)


def _reduce(value: float, device: torch.device, operation: Any) -> float:
    if not is_initialized():
        return value
    tensor = torch.tensor(value, dtype=torch.float64, device=device)
    all_reduce(tensor, operation)
    return float(tensor)


def full_tensor(tensor: Tensor) -> Tensor:
    """The full tensor on the CPU if it is sharded, else the tensor itself.

    All processes must call this.
    """
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def sharded_like(full: Tensor, weight: Tensor) -> Tensor:
    """A full tensor, sharded as a weight is."""
    if not isinstance(weight, DTensor):
        return full
    mesh = weight.device_mesh
    full = full.to(mesh.device_type)
    return distribute_tensor(full, mesh, weight.placements, src_data_rank=None)


def gather_weights(policy: Policy, *, keep: bool) -> dict[str, Tensor] | None:
    """The model's full weights by name, empty without `keep`; None if no weight is sharded.

    All processes must call this. A weight with two names is listed once; a base model below an
    adapter is left out, since it is not saved.
    """
    if not any(isinstance(weight, DTensor) for weight in policy.parameters()):
        return None
    weights: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in policy.model.state_dict(keep_vars=True).items():
        if id(tensor) in seen or (policy.adapted and not tensor.requires_grad):
            continue
        seen.add(id(tensor))
        full = full_tensor(tensor.detach())
        if keep:
            weights[name] = full
    return weights
