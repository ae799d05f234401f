"""Several processes under torchrun: each one's part of a batch, and means over all of them."""

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn

from common.cli import UserError

# What torchrun tells each process; one process alone is the first of one.
RANK = int(os.environ.get("RANK", 0))
PROCESSES = int(os.environ.get("WORLD_SIZE", 1))
IS_MAIN = RANK == 0  # the one process that writes and prints


def join(device: torch.device, deterministic: bool = False) -> torch.device:
    """Meet the other processes (gloo on CPU, NCCL on CUDA) and return this one's device.

    `deterministic` asks for algorithms that add up in the same order every time, on CUDA too.
    """
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.utils.deterministic.fill_uninitialized_memory = False  # it finds bugs; it does not make bits equal
        torch.use_deterministic_algorithms(True)
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


def my_part(batch: torch.Tensor) -> torch.Tensor:
    """This process's part of a batch that all processes see alike; the parts' sizes differ by one at most."""
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


def maximum(numbers: Sequence[int]) -> list[int]:
    """Each number's maximum over all processes."""
    if PROCESSES == 1:
        return list(numbers)
    return _reduce(torch.tensor(numbers, device=_device()), dist.ReduceOp.MAX).tolist()


def _reduce(tensor: torch.Tensor, operation) -> torch.Tensor:
    try:
        dist.all_reduce(tensor, op=operation)
    except RuntimeError as error:  # gloo and NCCL say it in many words
        raise UserError(f"another process of this run has ended ({str(error).splitlines()[0]})", status=1) from None
    return tensor


def from_main(numbers: Sequence[float]) -> list[float]:
    """The numbers as the main process has them, so that all decide alike."""
    if PROCESSES == 1:
        return list(numbers)
    tensor = torch.tensor(numbers, dtype=torch.float64, device=_device())
    dist.broadcast(tensor, src=0)
    return tensor.tolist()


def _device() -> str:
    """Where this process's messages lie: NCCL carries them from GPU to GPU."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
