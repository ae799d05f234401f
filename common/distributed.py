"""Data parallel: what torchrun tells us, a process's share of a batch, and gradients summed over processes."""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import nn

from common.cli import UserError

# What torchrun tells each process; one process alone is the first of one.
RANK = int(os.environ.get("RANK", 0))
PROCESSES = int(os.environ.get("WORLD_SIZE", 1))
FIRST = RANK == 0  # the process that writes and prints


def join(device: torch.device) -> torch.device:
    """Meet the other processes (gloo on CPU, NCCL on CUDA) and return this one's device."""
    if PROCESSES == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        if device.index >= torch.cuda.device_count():
            raise UserError(f"torchrun: each process needs a GPU of its own; here are {torch.cuda.device_count()}")
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def leave() -> None:
    """Part from the other processes at the end of a run."""
    if dist.is_initialized():
        dist.destroy_process_group()


def share(batch: torch.Tensor) -> torch.Tensor:
    """This process's part of a batch that all processes see alike; the parts' sizes differ by one at most."""
    return batch if PROCESSES == 1 else batch.tensor_split(PROCESSES)[RANK]


def mean(tensor: torch.Tensor) -> torch.Tensor:
    """Replace `tensor` by its mean over all processes."""
    return _reduce(tensor, dist.ReduceOp.SUM).div_(PROCESSES) if PROCESSES > 1 else tensor


def mean_gradients(network: nn.Module) -> torch.Tensor:
    """Replace each gradient by its mean over all processes, in one message; return the norm of all of them."""
    gradients = [parameter.grad for parameter in network.parameters()]
    if PROCESSES > 1:
        together = mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, whole in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(whole.view_as(gradient))
    return nn.utils.get_total_norm(gradients)


def highest(tensor: torch.Tensor) -> torch.Tensor:
    """Replace each number of `tensor` by the largest of it over all processes."""
    return _reduce(tensor, dist.ReduceOp.MAX) if PROCESSES > 1 else tensor


def _reduce(tensor: torch.Tensor, operation) -> torch.Tensor:
    try:
        dist.all_reduce(tensor, op=operation)
    except RuntimeError as error:  # gloo and NCCL say it in many words
        raise UserError(f"another process of this run has ended ({str(error).splitlines()[0]})", status=1) from None
    return tensor


def from_first(values: Iterable[float], device: torch.device) -> list[float]:
    """The numbers as the first process has them, so that all decide alike."""
    tensor = torch.tensor(list(values), dtype=torch.float64, device=device)
    if PROCESSES > 1:
        dist.broadcast(tensor, src=0)
    return tensor.tolist()
