"""What the tests of Part 2 share: MNIST and a small one, float64, refusals."""

import part2.evaluate
import part2.judges.judge
import part2.sources.files
from part2.images import Digits, load_mnist
from tests.tiny_runs import first_digits

import pytest
import torch


@pytest.fixture(scope="session")
def mnist() -> dict[str, Digits]:
    return {split: load_mnist(split) for split in ("train", "test")}


@pytest.fixture
def few(monkeypatch, mnist) -> dict[str, Digits]:
    """Judges know 600 training images, of which the last 200 are for validation, and 200 test images; 200 samples."""
    parts = {split: Digits(*(part[:n] for part in mnist[split])) for split, n in (("train", 600), ("test", 200))}
    monkeypatch.setattr(part2.sources.files, "load_mnist", parts.__getitem__)
    monkeypatch.setattr(part2.judges.judge, "VALIDATION", 200)
    for module in (part2.judges.judge, part2.evaluate):
        monkeypatch.setattr(module, "SAMPLES", 200)
    return parts


@pytest.fixture
def in_float64(monkeypatch):
    """Training in float64, where two ways to compute the same agree to many digits."""
    first_digits()  # loaded once for all tests, in float32
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # what leaves autocast is full precision here too
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def mistake(answer, outputs, tmp_path):
    """mistake(module, *flags): the one line with which a script refuses these flags, having written nothing."""

    def run(module, *flags) -> str:
        before = set(tmp_path.rglob("*"))
        status, out, error = answer(module, *flags)
        assert (status, error.count("\n")) == (2, 1) and set(tmp_path.rglob("*")) == before
        assert out == "" or (out.startswith("network: ") and out.count("\n") == 1)
        return error

    return run
