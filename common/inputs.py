"""What a network takes as input: tensors of the right shape and dtype."""

import torch
from torch import Tensor


def check_tensor(name: str, x: Tensor, shape: tuple[int | str, ...], weight: Tensor) -> None:
    """ValueError if x is no tensor of this shape, or does not have the dtype of `weight`, one of the network's weights.

    In `shape` a name stands for any size. Under `torch.jit.trace` nothing is checked: sizes are tensors then.
    """
    if torch.jit.is_tracing():
        return
    expected = f"({', '.join(map(str, shape))})"
    if not isinstance(x, Tensor) or x.is_nested:
        kind = "nested tensor" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{name} is a {kind}; expected a tensor {expected}")
    if x.dim() != len(shape) or any(n != m for n, m in zip(shape, x.shape, strict=True) if not isinstance(n, str)):
        raise ValueError(f"{name} has the shape {tuple(x.shape)}; expected {expected}")
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(f"{name} has the dtype {x.dtype}, the network's weights {weight.dtype}; convert one of them")
