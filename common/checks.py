"""Checks of what a network is called with."""

import torch


def check_input(name: str, x: torch.Tensor, shape: tuple[int | str, ...], weight: torch.Tensor) -> None:
    """ValueError if x does not have this shape (a word stands for any size) or the dtype of the network's weight."""
    if torch.jit.is_tracing():  # sizes are tensors then
        return
    if x.dim() != len(shape) or any(isinstance(n, int) and n != x.shape[k] for k, n in enumerate(shape)):
        raise ValueError(f"{name} has the shape {tuple(x.shape)}; expected ({', '.join(map(str, shape))})")
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(f"{name} is {x.dtype} and the network's weights are {weight.dtype}; convert one of them")
