"""The processes that train: how they are set up, and settings that make them faster."""

from __future__ import annotations

import ctypes
import platform
import sys
from datetime import timedelta

import torch
from accelerate import Accelerator, DistributedType, InitProcessGroupKwargs
from accelerate.utils import parse_flag_from_env

from autocoa_bench.errors import UserError

_PLUG_INS = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG")
_KINDS = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**31 - 1


def speed_up(threads: int) -> None:
    """Fix the number of threads (0: PyTorch's choice), and let the C library keep its memory.

    By default glibc hands every freed activation back to the kernel and gets it anew, page by
    page: measured, a quarter of the time of a step.
    """
    if threads:
        torch.set_num_threads(threads)
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def start_processes(threads: int) -> Accelerator:
    """Settle this process, and meet the others, if there are any. Raises UserError for a way to
    distribute that is not ours."""
    speed_up(threads)
    for plug_in in _PLUG_INS:
        if parse_flag_from_env(f"ACCELERATE_USE_{plug_in}"):
            raise _not_ours(plug_in)
    wait = InitProcessGroupKwargs(timeout=timedelta(hours=6))  # one process plays live episodes
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(), mixed_precision="no", kwargs_handlers=[wait]
    )
    if accelerator.distributed_type not in _KINDS:
        raise _not_ours(accelerator.distributed_type.value)
    return accelerator


def share_of_process(batch: int, processes: int) -> int:
    """Each process's part of a batch. Raises UserError where parts would not be equal."""
    if batch % processes:
        raise UserError(
            f"batch = {batch} cannot be dealt to {processes} processes evenly; make it a multiple "
            "of their number"
        )
    return batch // processes


def _not_ours(way: str) -> UserError:
    return UserError(
        f"accelerate was told to distribute by {way}, which this trainer does not do; launch it "
        "with --multi_gpu, and for sliced weights give sharding = 'fsdp' in the recipe"
    )
