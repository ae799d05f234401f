"""What the tests of Part 1 share: networks with random weights, what an optimiser sees, small trained runs."""

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
    """A row for each step that RMSprop takes: its settings, the gradients' norm, and the weights before the step."""
    rows, step = [], torch.optim.RMSprop.step

    def watched(self, *args):
        (group,) = self.param_groups
        weights = [parameter.detach().clone() for parameter in group["params"]]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in group["params"]]).item()
        rows.append({**group, "norm": norm, "weights": weights})
        return step(self, *args)

    monkeypatch.setattr(torch.optim.RMSprop, "step", watched)
    return rows


@pytest.fixture
def inputs(monkeypatch):
    """inputs(module): what the networks of a training script read from here on, a row for each batch: x, and whether
    it is trained on."""

    def watch(module) -> list[dict]:
        rows = []

        def watched(kind: type, **sizes) -> nn.Module:
            network = kind(**sizes)
            read = network.read

            def noted(x: torch.Tensor, state=None) -> tuple[torch.Tensor, ...]:
                rows.append({"x": x.tolist(), "trains": torch.is_grad_enabled()})
                return read(x, state)

            network.read = noted
            return network

        kinds = {name: lambda kind=kind, **sizes: watched(kind, **sizes) for name, kind in module.NETWORKS.items()}
        monkeypatch.setattr(module, "NETWORKS", kinds)
        return rows

    return watch


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A folder of runs: by epochs (LSTM, one-hot, rnn, torch_lstm), by curriculum (also with the marker task), and one
    stopped before its first epoch."""
    from tests.tiny_runs import CURRICULUM, PART1, lighten, stop

    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        lighten(patch.setattr)
        wide = ["--num_hidden", "12"]
        PART1.start(place / "epochs", *wide, "--lengths", "4", "5", "10")
        PART1.start(place / "one_hot", *wide, "--encoding", "one_hot")
        CURRICULUM.start(place / "curriculum", *wide, "--lengths", "10", "20")
        CURRICULUM.start(place / "marker", "--task", "marker", "--lengths", "12")
        for model in ("rnn", "torch_lstm"):
            PART1.start(place / model, "--model", model)
        assert stop(PART1.start, 1, place / "stopped") == 143
    return place
