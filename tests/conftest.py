"""What all tests share: one thread, hypothesis without clocks, a script's answer, outputs of their own."""

import ast
import functools
import sys
from pathlib import Path

import common  # noqa: F401  (before torch, as in the scripts)

import hypothesis
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)  # the networks here are tiny
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("tests")


@pytest.fixture
def answer(monkeypatch, capsys):
    """Runs a script's last statement in this process; gives the exit status (0 if none), stdout, stderr."""

    def run(module, *flags) -> tuple[int, str, str]:
        capsys.readouterr()  # what came before
        monkeypatch.setattr(sys, "argv", [module.__file__, *map(str, flags)])
        for name in ("MPLBACKEND", "MATPLOTLIBRC"):
            monkeypatch.setenv(name, "set by cli.call")
        status = 0
        try:
            last = ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body[-1].body
            exec(compile(ast.Module(last, []), module.__file__, "exec"), vars(module))
        except SystemExit as exit_:
            status = exit_.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """An outputs/ folder of this test's own."""
    from common import find, runs

    for module in (find, runs):
        monkeypatch.setattr(module, "OUTPUTS", tmp_path / "outputs")
    return tmp_path / "outputs"


@pytest.fixture
def light(monkeypatch):
    """Training without all of MNIST, without summaries, with a GAN of few weights (tests/tiny_runs.py)."""
    from tests.tiny_runs import lighten

    lighten(monkeypatch.setattr)


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """straight(script, *flags): what a run that is never stopped ends with; equal flags share one run."""
    from tests.tiny_runs import ending, lighten

    @functools.cache
    def run(script, *flags: str) -> dict:
        with pytest.MonkeyPatch.context() as patch:
            lighten(patch.setattr)
            return ending(script, script.start(tmp_path_factory.mktemp("straight") / "run", *flags))

    return run


@pytest.fixture
def ends_alike(straight):
    """ends_alike(script, folder, *flags): asserts that a run has ended in the same bits as one never disturbed."""
    from tests.tiny_runs import differences, ending

    def check(script, folder: Path, *flags: str) -> None:
        assert differences(straight(script, *flags), ending(script, folder)) == []

    return check


@pytest.fixture
def figures(monkeypatch):
    """The figures that this test saves, instead of files: figures(module) watches the module's `save_figure`. On a page
    that is 838 pixels wide the digits in them are at least 9 pixels high: 0.73 of the size of their text."""
    from matplotlib.text import Text

    def watch(module, is_legible: bool = True) -> list:
        saved = []

        def save(figure, _path) -> None:
            sizes = {text.get_text(): text.get_size() for text in figure.findobj(Text) if text.get_text()}
            small = {text: size for text, size in sizes.items() if 0.73 * size / 72 * 838 / figure.get_figwidth() < 9}
            assert small == {} or not is_legible
            saved.append(figure)

        monkeypatch.setattr(module, "save_figure", save)
        return saved

    return watch


@pytest.fixture(scope="session")
def differences_to():
    """Compares a network of ours with nn.LSTM or nn.RNN: the greatest absolute difference of the logits and of every
    gradient, by name."""
    from part1.networks.by_name import to_torch

    def compare(kind: type, network: torch.nn.Module, x: torch.Tensor) -> dict[str, float]:
        core, x = to_torch(network), x.detach().requires_grad_()
        assert type(core) is kind
        with torch.no_grad():  # its two biases add up to ours
            core.bias_hh_l0.copy_(core.bias_ih_l0 * 0.75)
            core.bias_ih_l0.mul_(0.25)

        def logits_and_gradients(logits, *parameters) -> list[torch.Tensor | None]:
            loss_weights = torch.randn(logits.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(7)).to(x)
            inputs = [x, *parameters, *network.fc.parameters()]
            return [logits, *torch.autograd.grad((logits * loss_weights).sum(), inputs, allow_unused=True)]

        ours = logits_and_gradients(network(x), network.weight_ih, network.weight_hh, network.bias)
        logits = network.fc(core(x)[0][:, -1])
        theirs = logits_and_gradients(logits, core.weight_ih_l0, core.weight_hh_l0, core.bias_ih_l0)
        missing = torch.tensor(float("inf"))  # a parameter without a gradient
        names = ["logits", "x", "weight_ih", "weight_hh", "bias", "fc.weight", "fc.bias"]
        pairs = zip(names, ours, theirs, strict=True)
        return {name: (missing if a is None else (a - b).abs().max()).item() for name, a, b in pairs}

    return compare
