"""What a sequence task is."""

from collections.abc import Callable
from typing import NamedTuple

import torch


class Task(NamedTuple):
    """A network reads a sequence and answers once, at its end. A new task is a file like marker.py and a line in TASKS.

    draw        (n, input_length, rng, held_out, monotonous, near) → digits uint8 (n, input_length + 1): the input, then
                the target. Held out and trained-on sequences must differ. Of the first `monotonous` sequences, which
                are hard, half may be `near`: hard for a network that reads digits as scalars
    encode      (digits (…, time), encoding) → x (…, time, input_dim)
    input_dim   encoding → numbers per step
    classes     the number of answers
    """

    name: str
    draw: Callable[..., torch.Tensor]
    encode: Callable[[torch.Tensor, str], torch.Tensor]
    input_dim: dict[str, int]
    classes: int
