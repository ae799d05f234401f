"""One seed, many independent streams of random numbers."""

import hashlib

import torch


def stream_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose: the first 63 bits of SHA-256 over `seed` and `purpose`."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A random generator for one purpose: for example `generator(0, "noise", 500)` for the noise of batch 500.

    Generators of different purposes share no state. So more draws from one of them (more evaluations, more pictures)
    change nothing in another. And a resumed run needs no stored generator: it asks for the noise of its next batch. The
    generator is always on the CPU, so a seed gives the same draws for every device.
    """
    return torch.Generator().manual_seed(stream_seed(seed, *purpose))
