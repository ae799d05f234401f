"""What all tests share: one thread, hypothesis without clocks, scripts started as a user starts them."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)  # the networks here are tiny
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("tests")


@pytest.fixture
def run_script(tmp_path):
    """Starts a script by its path below the root, in `tmp_path` unless told, without a display; text captured."""

    def run(script: str, *flags, cwd=tmp_path, env=None, timeout=300) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / script), *map(str, flags)]
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", **(env or {})}
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=timeout, check=False
        )

    return run


@pytest.fixture
def answer(monkeypatch, capsys):
    """Calls a script's `main` in this process as its last line does; gives exit status (0 if none), stdout, stderr."""

    def run(module, *flags) -> tuple[int, str, str]:
        capsys.readouterr()  # what came before
        monkeypatch.setattr(sys, "argv", [module.__file__, *map(str, flags)])
        status = 0
        try:
            module.cli.call(module.main)
        except SystemExit as exit_:
            status = exit_.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def differences_to():
    """Compares a network of ours with nn.LSTM or nn.RNN: the greatest absolute difference of the logits and of every
    gradient, by name."""

    def compare(kind: type, network: torch.nn.Module, x: torch.Tensor) -> dict[str, float]:
        core = kind(x.shape[2], network.hidden_dim, batch_first=True, dtype=x.dtype)
        core.load_state_dict(
            {
                "weight_ih_l0": network.weight_ih.detach(),
                "weight_hh_l0": network.weight_hh.detach(),
                "bias_ih_l0": network.bias.detach() * 0.25,  # its two biases add up to ours
                "bias_hh_l0": network.bias.detach() * 0.75,
            }
        )
        x = x.detach().requires_grad_()
        ours, theirs = network(x), network.fc(core(x)[0][:, -1])
        loss_weights = torch.randn(ours.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(7))

        def gradients(logits, *parameters):
            return torch.autograd.grad(
                (logits * loss_weights).sum(), [x, *parameters, *network.fc.parameters()], allow_unused=True
            )

        names = ["x", "weight_ih", "weight_hh", "bias", "fc.weight", "fc.bias"]
        pairs = {"logits": (ours, theirs)}
        of_ours = gradients(ours, network.weight_ih, network.weight_hh, network.bias)
        of_theirs = gradients(theirs, core.weight_ih_l0, core.weight_hh_l0, core.bias_ih_l0)
        pairs |= {f"gradient of {name}": pair for name, *pair in zip(names, of_ours, of_theirs, strict=True)}
        missing = torch.tensor(float("inf"))  # a parameter without a gradient
        return {name: (missing if a is None else (a - b).abs().max()).item() for name, (a, b) in pairs.items()}

    return compare


def pytest_terminal_summary(terminalreporter):
    """How many faults tests/faults.py injected, and how many were survived."""
    if (faults := sys.modules.get("tests.faults")) and faults.INJECTED:
        terminalreporter.write_line(faults.summary())
