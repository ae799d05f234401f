"""Several processes under torchrun, one run. A single process calls nothing here."""

import os
from collections.abc import Callable

from common.cli import UserError
from common.machine import LOCAL_RANK, PROCESSES

import torch
import torch.distributed as dist
from torch import nn


def join(device: torch.device) -> torch.device:
    """Join the group of processes (gloo on CPU, NCCL on CUDA); returns this process's device."""
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise UserError(
            f"WORLD_SIZE={PROCESSES} is set, but {' and '.join(missing)} are not: start this script with torchrun, "
            "or without WORLD_SIZE in the environment"
        )
    if device.type == "cuda":
        device = torch.device("cuda", LOCAL_RANK)
        if device.index >= torch.cuda.device_count():
            raise UserError(f"torchrun: each process needs a GPU of its own; there are {torch.cuda.device_count()}")
        torch.cuda.set_device(device)
    if (rank := os.environ["RANK"]) not in map(str, range(PROCESSES)):
        raise UserError(f"RANK={rank} is not one of 0 … {PROCESSES - 1}, with WORLD_SIZE={PROCESSES}; use torchrun")
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:  # a port that is in use; a port that is no number
        where = " and ".join(f"{name}={os.environ[name]}" for name in ("MASTER_ADDR", "MASTER_PORT"))
        status = 1 if isinstance(error, RuntimeError) else 2
        raise UserError(f"no other process can be met with {where} ({str(error).splitlines()[0]})", status) from None
    return device


def leave() -> None:
    """Leave the group, if this process is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def mean(tensor: torch.Tensor) -> torch.Tensor:
    """Replace `tensor` by its mean over all processes."""
    _together(dist.all_reduce, tensor)
    return tensor.div_(PROCESSES)


def mean_gradients(network: nn.Module) -> None:
    """Replace each gradient by its mean over all processes, in one message."""
    gradients = [parameter.grad for parameter in network.parameters()]
    together = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, averaged in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))


def maximum(number: int) -> int:
    """The number's maximum over all processes."""
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"  # NCCL sends from GPU to GPU
    tensor = torch.tensor(number, device=device)
    _together(dist.all_reduce, tensor, op=dist.ReduceOp.MAX)
    return tensor.item()


def from_main(text: str) -> str:
    """The text that the main process passes, in all processes."""
    texts = [text]
    _together(dist.broadcast_object_list, texts)
    return texts[0]


def _together(operation: Callable, *args, **options) -> None:
    """Call what all processes must call; UserError if one of them has ended."""
    try:
        operation(*args, **options)
    except RuntimeError as error:  # gloo and NCCL give many lines
        raise UserError(f"another process of this run has ended ({str(error).splitlines()[0]})", status=1) from None
