"""One seed, many independent streams of random numbers."""

import hashlib

import torch


def stream_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose: the first bytes of SHA-256 over `seed` and `purpose`."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A random generator of its own, `generator(0, "noise", 500)` for the noise of batch 500, say.

    Streams never share state: drawing more from one (evaluating more often, drawing more pictures) changes nothing in
    another. And because a stream is named by what it is for, a resumed run needs no stored generator: it asks for the
    noise of the batch it has come to. Always on the CPU, so that a seed means the same draws on every device.
    """
    return torch.Generator().manual_seed(stream_seed(seed, *purpose))
