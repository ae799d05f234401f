"""The networks of Part 1 as modules among PyTorch's: derivatives, traced and exported forms, pieces, wrong input."""

import copy
import pickle
import re

from part1.lstm import LSTM
from part1.networks.by_name import NETWORKS, TorchLSTM, copy_from_torch, to_torch
from part1.networks.rnn import VanillaRNN

import pytest
import torch
from torch import nn
from torch.autograd import functional

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")  # deprecated, and used by torch.autograd.functional too
OURS = {"plain": {"plain": True}, "fast": {}, "rnn": {}}
ours = pytest.mark.parametrize("name", OURS)


@pytest.fixture
def pair(case):
    """pair(name): a network of ours, PyTorch's own with the same weights and readout, and an input."""

    class Theirs(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.core, self.fc = to_torch(network), network.fc

        def forward(self, x):
            return self.fc(self.core(x)[0][:, -1])

    def make(name: str) -> tuple[nn.Module, nn.Module, torch.Tensor]:
        network, x = case(VanillaRNN if name == "rnn" else LSTM, 3, 4, 2, 5, **OURS[name])
        return network, Theirs(network), x

    return make


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-11)


@ours
def test_first_and_second_derivatives_by_every_way_are_those_of_pytorch_s_own(name, pair):
    network, theirs, x = pair(name)
    v, jacobian = torch.randn_like(x), functional.jacobian(theirs, x)
    assert all(map(close, functional.jvp(network, x, v), functional.jvp(theirs, x, v)))
    assert close(torch.func.jvp(network, (x,), (v,))[1], functional.jvp(theirs, x, v)[1])
    found = [functional.jacobian(network, x), functional.jacobian(network, x, vectorize=True)]
    found += [torch.func.jacrev(network)(x), torch.func.jacfwd(network)(x)]
    assert all(close(ours, jacobian) for ours in found)
    hessians = [functional.hessian(lambda x, net=net: net(x).sin().sum(), x) for net in (network, theirs)]
    assert close(*hessians) and hessians[0].abs().max() > 1e-3
    assert torch.autograd.gradgradcheck(network, x.requires_grad_())


@ours
def test_gradients_for_each_sample_at_once_are_those_of_a_loop_over_samples(name, pair):
    network, _, x = pair(name)
    weights = {name: value.detach() for name, value in network.named_parameters()}

    def loss(weights, sequence):
        return torch.func.functional_call(network, weights, (sequence.unsqueeze(0),)).sin().sum()

    at_once = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    for k, sequence in enumerate(x.unsqueeze(1)):
        one = torch.autograd.grad(network(sequence).sin().sum(), network.parameters())
        assert all(close(at_once[name][k], gradient) for name, gradient in zip(weights, one, strict=True))


@ours
def test_compiled_exported_and_traced_networks_answer_alike_and_take_other_batch_sizes(name, pair):
    network, _, x = pair(name)
    more = torch.randn(7, 4, 2, dtype=x.dtype)
    compiled = torch.compile(network, backend="aot_eager", dynamic=True)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    traced = torch.jit.trace(network, x)
    for form in (compiled, exported, traced):
        assert close(form(x), network(x)) and close(form(more), network(more))
    gradients = [torch.autograd.grad(form(x).sin().sum(), network.parameters()) for form in (network, compiled)]
    assert all(map(close, *gradients))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_and_a_pickle_answer_alike_and_its_text_shows_its_sizes(name):
    network, x = NETWORKS[name](2, 5, 3), torch.randn(2, 4, 2)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(twin(x), network(x))
    assert name == "torch_lstm" or "input_dim=2, hidden_dim=5" in repr(network)


@pytest.mark.parametrize("name", [*OURS, "torch_lstm"])
def test_a_sequence_read_in_pieces_is_the_whole_with_its_gradients(name, case):
    kind = {"rnn": VanillaRNN, "torch_lstm": TorchLSTM}.get(name, LSTM)
    network, x = case(kind, 3, 12, 2, 5, **OURS.get(name, {}))
    x.requires_grad_()
    state = None
    for piece in x.split([1, 4, 7], dim=1):
        state = network.read(piece, state)
    whole = network.read(x)
    assert all(map(close, state, whole)) and close(network.fc(state[0]), network(x))
    wanted = [x, *(parameter for name, parameter in network.named_parameters() if "fc" not in name)]
    gradients = [torch.autograd.grad(sum(part.sin().sum() for part in found), wanted) for found in (state, whole)]
    assert all(map(close, *gradients))
    assert name == "torch_lstm" or all(tensor.is_contiguous() for tensor in (*gradients[1], *whole))


@pytest.mark.parametrize(("kind", "core"), [(LSTM, nn.LSTM), (VanillaRNN, nn.RNN)])
def test_weights_go_to_pytorch_s_own_layer_and_back(kind, core, case):
    network, x = case(kind, 3, 6, 2, 5)
    theirs = core(2, 5, batch_first=True, dtype=torch.float64)
    other, _ = case(kind, 4, 6, 2, 5)
    copy_from_torch(other, theirs)
    assert close(other.read(x)[0], theirs(x)[0][:, -1])
    copy_from_torch(other, to_torch(network))
    assert all(torch.equal(a, b) for a, b in zip(other.read(x), network.read(x), strict=True))


def test_a_layer_that_it_cannot_hold_is_refused():
    for core in (nn.LSTM(2, 6), nn.LSTM(3, 5), nn.LSTM(2, 5, 2), nn.LSTM(2, 5, bidirectional=True), nn.RNN(2, 5)):
        with pytest.raises(ValueError, match="cannot hold the weights of"):
            copy_from_torch(LSTM(2, 5, 3), core)


@ours
def test_a_wrong_shape_or_type_is_a_value_error(name, pair):
    for x in (torch.zeros(4, 2), torch.zeros(3, 4, 3), torch.zeros(3, 4, 2, 1)):
        shape = re.escape(str(tuple(x.shape)))
        with pytest.raises(ValueError, match=rf"x has the shape {shape}; expected \(batch, time, 2\)"):
            pair(name)[0](x)
    for x in (torch.zeros(3, 4, 2), torch.zeros(3, 4, 2, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=f"x is {x.dtype} and the network's weights are torch.float64"):
            pair(name)[0](x)


@ours
@pytest.mark.usefixtures("spare")
def test_an_empty_batch_is_answered_and_has_gradients_of_zero(name, pair):
    """Even as the first call of a process."""
    network, _, x = pair(name)
    logits = network(x[:0])
    logits.sum().backward()
    assert logits.shape == (0, 3) and all((p.grad == 0).all() for p in network.parameters())
