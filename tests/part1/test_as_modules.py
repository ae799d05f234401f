"""The networks of Part 1 as modules among PyTorch's: derivatives, traced and exported forms, pieces, wrong input."""

import copy
import pickle
import re

from part1.lstm import LSTM
from part1.networks.by_name import TorchLSTM, copy_from_torch, to_torch
from part1.networks.rnn import VanillaRNN
from tests.common.test_products import Foreign

import pytest
import torch
from torch import nn
from torch.autograd import functional

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")  # deprecated, and used by torch.autograd.functional too
KINDS = {"plain": LSTM, "fast": LSTM, "rnn": VanillaRNN, "torch_lstm": TorchLSTM}
ours = pytest.mark.parametrize("name", ["fast", "rnn"])


@pytest.fixture
def pair(case):
    """pair(name): a network of ours, PyTorch's own with the same weights and readout, and an input. (The LSTM's plain
    form is made of PyTorch's operations alone.)"""

    class Theirs(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.core, self.fc = to_torch(network), network.fc

        def forward(self, x):
            return self.fc(self.core(x)[0][:, -1])

    def make(name: str) -> tuple[nn.Module, nn.Module, torch.Tensor]:
        network, x = case(KINDS[name], 3, 4, 2, 5)
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
def test_compiled_exported_traced_copied_and_pickled_networks_answer_alike_and_take_other_batch_sizes(name, pair):
    network, _, x = pair(name)
    more = torch.randn(7, 4, 2, dtype=x.dtype)
    compiled = torch.compile(network, backend="aot_eager", dynamic=True)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    twins = copy.deepcopy(network), pickle.loads(pickle.dumps(network))
    for form in (compiled, exported, torch.jit.trace(network, x), *twins):
        assert close(form(x), network(x)) and close(form(more), network(more))
    gradients = [torch.autograd.grad(form(x).sin().sum(), network.parameters()) for form in (network, compiled)]
    assert all(map(close, *gradients)) and "input_dim=2, hidden_dim=5" in repr(network)


@pytest.mark.parametrize("name", KINDS)
def test_a_sequence_read_in_pieces_is_the_whole_with_its_gradients(name, case):
    network, x = case(KINDS[name], 3, 12, 2, 5, **({"plain": True} if name == "plain" else {}))
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
def test_weights_go_to_pytorch_s_own_layer_and_back_and_one_that_it_cannot_hold_is_refused(kind, core, case):
    network, x = case(kind, 3, 6, 2, 5)
    theirs = core(2, 5, batch_first=True, dtype=torch.float64)
    other, _ = case(kind, 4, 6, 2, 5)
    copy_from_torch(other, theirs)
    assert close(other.read(x)[0], theirs(x)[0][:, -1])
    copy_from_torch(other, to_torch(network))
    assert all(torch.equal(a, b) for a, b in zip(other.read(x), network.read(x), strict=True))
    for wrong in (core(2, 6), core(3, 5), core(2, 5, 2), core(2, 5, bidirectional=True), nn.RNN(2, 5, 1, "relu")):
        with pytest.raises(ValueError, match="cannot hold the weights of"):
            copy_from_torch(network, wrong)


@ours
def test_weights_that_are_quantised_say_meet_operations_that_they_know(name, pair):
    network, theirs, x = pair(name)
    weights = {name: Foreign(weight.detach()) for name, weight in network.named_parameters()}
    assert close(torch.func.functional_call(network, weights, (x,)), theirs(x))


@ours
@pytest.mark.usefixtures("spare")
def test_a_wrong_shape_or_type_is_a_value_error_and_an_empty_batch_has_gradients_of_zero(name, pair):
    network, _, right = pair(name)
    for x in (torch.zeros(4, 2), torch.zeros(3, 4, 3), torch.zeros(3, 4, 2, 1)):
        shape = re.escape(str(tuple(x.shape)))
        with pytest.raises(ValueError, match=rf"x has the shape {shape}; expected \(batch, time, 2\)"):
            network(x)
    for x in (torch.zeros(3, 4, 2), torch.zeros(3, 4, 2, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=f"x has the dtype {x.dtype}, the network's weights torch.float64"):
            network(x)
    jagged = torch.nested.nested_tensor(list(right), layout=torch.jagged)
    for x in (nn.utils.rnn.pack_sequence(list(right)), jagged, right.tolist(), right.numpy()):
        with pytest.raises(ValueError, match=r"x is a [\w ]+; expected a tensor \(batch, time, 2\)"):
            network(x)
    for h, said in ((right.new_zeros(1, 5), "shape"), (right.new_zeros(3, 1), "shape"), (torch.zeros(3, 5), "float32")):
        with pytest.raises(ValueError, match=f"the state .*{said}"):
            network.read(right, tuple(h for _ in network.read(right)))
    logits = network(right[:0])
    logits.sum().backward()
    assert logits.shape == (0, 3) and all((p.grad == 0).all() for p in network.parameters())
