"""Several processes under torchrun: the part of a batch for each process, and means over all processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from common.cli import UserError


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default


# torchrun tells each process these numbers. A single process has rank 0 of 1.
PROCESSES = max(1, _number("WORLD_SIZE", 1))
RANK = _number("RANK", 0) if PROCESSES > 1 else 0
IS_MAIN = RANK == 0  # the one process that writes and prints


@contextmanager
def joined(device: torch.device, threads: int, deterministic: bool = False) -> Iterator[torch.device]:
    """Join the group of processes (gloo on CPU, NCCL on CUDA), and leave it at the end. Yields this process's device.

    Meanwhile PyTorch uses this number of threads. With `deterministic` its algorithms add up in the same order every
    time, on CUDA too. At the end PyTorch's settings are as before.
    """
    debugging = torch.utils.deterministic
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), debugging.fill_uninitialized_memory
    torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        debugging.fill_uninitialized_memory = False  # it finds bugs; it does not make bits equal
        torch.use_deterministic_algorithms(True)
    is_first_group = PROCESSES > 1 and not dist.is_initialized()
    try:
        yield _join(device) if is_first_group else device
    finally:
        if is_first_group and dist.is_initialized():
            dist.destroy_process_group()
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        debugging.fill_uninitialized_memory = before[2]


def _join(device: torch.device) -> torch.device:
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise UserError(
            f"WORLD_SIZE={PROCESSES} is set, but {' and '.join(missing)} are not: start this script with torchrun, "
            "or without WORLD_SIZE in the environment"
        )
    if device.type == "cuda":
        device = torch.device("cuda", _number("LOCAL_RANK", RANK))
        if device.index >= torch.cuda.device_count():
            raise UserError(f"torchrun: each process needs a GPU of its own; there are {torch.cuda.device_count()}")
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def my_part(batch: torch.Tensor) -> torch.Tensor:
    """This process's part of a batch that is the same in all processes. The parts differ by at most one in size."""
    return batch if PROCESSES == 1 else batch.tensor_split(PROCESSES)[RANK]


def mean(tensor: torch.Tensor) -> torch.Tensor:
    """Replace `tensor` by its mean over all processes."""
    return _reduce(tensor, dist.ReduceOp.SUM).div_(PROCESSES) if PROCESSES > 1 else tensor


def mean_gradients(network: nn.Module) -> None:
    """Replace each gradient by its mean over all processes, in one message."""
    if PROCESSES > 1:
        gradients = [parameter.grad for parameter in network.parameters()]
        together = mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, averaged in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(averaged.view_as(gradient))


def maximum(number: int) -> int:
    """The number's maximum over all processes."""
    return _reduce(torch.tensor(number, device=_device()), dist.ReduceOp.MAX).item() if PROCESSES > 1 else number


def _reduce(tensor: torch.Tensor, operation) -> torch.Tensor:
    try:
        dist.all_reduce(tensor, op=operation)
    except RuntimeError as error:  # gloo and NCCL give many lines
        raise UserError(f"another process of this run has ended ({str(error).splitlines()[0]})", status=1) from None
    return tensor


def _device() -> str:
    """The device for messages between processes: NCCL sends them from GPU to GPU."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
