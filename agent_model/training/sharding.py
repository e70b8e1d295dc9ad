"""Weights on many processes: copied to each, or sliced over them (FSDP).

Of sliced weights each process holds a part, of the gradient and of the optimiser state too, and
weights are gathered layer by layer while they compute. What is kept on the disk is whole, so a run
may go on with another number of processes, or without slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed import ReduceOp, all_reduce, broadcast, get_world_size, is_initialized
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from agent_model.training.model import Policy, trainable


def shard(policy: Policy, device: torch.device) -> None:
    """Cut the policy's weights, decoder layer by decoder layer, over all processes."""
    policy.shares = False  # a layer's weights are gathered for one pass of it
    mesh = init_device_mesh(device.type, (get_world_size(),))
    exact = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    layers = set(policy.inner._no_split_modules or ())
    for module in list(policy.modules()):
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh, mp_policy=exact)
    fully_shard(policy, mesh=mesh, mp_policy=exact, reshard_after_forward=True)


def share(policy: Policy) -> None:
    """Give every process the first one's weights, of those that learn."""
    if is_initialized():
        for _, weight in trainable(policy):
            broadcast(weight.data, src=0)


def add_up(grads: Sequence[Tensor], weights: Sequence[nn.Parameter]) -> None:
    """Replace gradients of copied weights by their sums over all processes.

    Those of slices are summed already, by FSDP.
    """
    if is_initialized() and not any(isinstance(weight, DTensor) for weight in weights):
        for work in [all_reduce(grad, ReduceOp.SUM, async_op=True) for grad in grads]:
            work.wait()


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a weight: its slice, or all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def slice_of(full: Tensor, weight: Tensor) -> Tensor:
    """The part of a full tensor that belongs to what this process holds of a weight."""
    if not isinstance(weight, DTensor):
        return full
    mesh = weight.device_mesh
    made = distribute_tensor(full.to(mesh.device_type), mesh, weight.placements, src_data_rank=None)
    return made.to_local()


def whole(part: Tensor, weight: Tensor) -> Tensor:
    """All of a tensor of which every process has the part that it has of a weight.

    All processes must ask for it.
    """
    if not isinstance(weight, DTensor):
        return part
    made = DTensor.from_local(
        part,
        weight.device_mesh,
        weight.placements,
        shape=weight.shape,
        stride=weight.stride(),
    )
    return made.full_tensor().cpu()


def whole_weights(policy: Policy, *, keep: bool) -> dict[str, Tensor] | None:
    """The model's weights by name, for the one process that keeps them; None if none is cut.

    All processes must ask. A weight with two names is given once; a base below an adapter, which
    is not saved, is left out.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    cut = False
    for name, tensor in policy.model.state_dict(keep_vars=True).items():
        if id(tensor) in seen or (policy.adapted and not tensor.requires_grad):
            continue
        seen.add(id(tensor))
        cut = cut or isinstance(tensor, DTensor)
        given = whole(local(tensor.detach()), tensor)
        if keep:
            found[name] = given
    return found if cut else None


def norm_of_all(norm: Tensor, weights: list[nn.Parameter]) -> Tensor:
    """A gradient's norm over all processes' slices from that of this one's."""
    if not any(isinstance(weight, DTensor) for weight in weights):
        return norm
    square = norm.square()
    all_reduce(square, ReduceOp.SUM)
    return square.sqrt()
