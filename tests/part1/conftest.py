"""What the tests of Part 1 share: networks with random weights, what an optimiser sees, small trained runs."""

from functools import partialmethod

from part1.lstm import LSTM
from part1.networks import through_time

import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def case():
    """case(kind, batch, time, input_dim, hidden_dim): a float64 network, all its parameters random, and an input."""

    def make(kind: type, batch: int, time: int, input_dim: int, hidden_dim: int, **options):
        torch.manual_seed(batch + 10 * time)
        network = kind(input_dim, hidden_dim, 3, **options).double()
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.7)
        return network, torch.randn(batch, time, input_dim, dtype=torch.float64)

    return make


@pytest.fixture
def run(tmp_path, light):
    """run(script, *flags): a tiny run of the script of tests/tiny_runs.py; gives its folder."""
    count = iter(range(99))
    return lambda script, *flags: script.start(tmp_path / f"run{next(count)}", *flags)


@pytest.fixture
def spare(monkeypatch):
    """The list of the buffer that the fast form keeps for the next sequence, empty at first."""
    monkeypatch.setattr(through_time, "SPARE", [])
    return through_time.SPARE


@pytest.fixture
def optimizer_steps(monkeypatch):
    """A row for each step that the optimiser takes: its settings, the gradients' norm, the weights before it."""
    rows = []

    def watched(self, step):
        (group,) = self.param_groups
        weights = [parameter.detach().clone() for parameter in group["params"]]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in group["params"]]).item()
        rows.append({**group, "norm": norm, "weights": weights})
        return step(self)

    for kind in (torch.optim.RMSprop, torch.optim.Adam):
        monkeypatch.setattr(kind, "step", partialmethod(watched, kind.step))
    return rows


@pytest.fixture
def inputs(monkeypatch):
    """What LSTMs read from here on, a row for each batch: x, and whether it is trained on."""
    rows, read = [], LSTM.read

    def watched(self, x: torch.Tensor, state=None) -> tuple[torch.Tensor, torch.Tensor]:
        rows.append({"x": x.tolist(), "trains": torch.is_grad_enabled()})
        return read(self, x, state)

    monkeypatch.setattr(LSTM, "read", watched)
    return rows


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A folder of runs: by epochs (LSTM, rnn, torch_lstm), to be proved (palindromes and marked digits), and one
    stopped before its first epoch."""
    from tests.tiny_runs import PART1, PROVED, lighten, stop

    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        lighten(patch.setattr)
        PART1.start(place / "epochs", "--num_hidden", "12", "--lengths", "4", "5", "10")
        PROVED.start(place / "proved", "--task", "palindrome", "--num_hidden", "12", "--lengths", "10", "20")
        PROVED.start(place / "marker", "--lengths", "12")
        for model in ("rnn", "torch_lstm"):
            PART1.start(place / model, "--model", model)
        assert stop(PART1.start, 1, place / "stopped") == 143
    return place
