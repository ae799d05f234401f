"""A training step on a GPU as a CUDA graph: its kernels are recorded once, and then started all together."""

from collections import Counter
from collections.abc import Callable

import torch

from common import distributed

WARM_UP = 3  # calls before the recording, in which PyTorch's libraries and the optimisers get their memory


class Replayed:
    """step(*tensors, **settings) → tensors, called in the same way, but on CUDA replayed.

    Python needs longer to start a small network's kernels one by one than a GPU needs to compute them. A CUDA graph has
    all kernels of a step, with their addresses in memory, and is started by one call. There is one graph for each set
    of shapes and settings.

    A graph repeats what was recorded. So the step must train in place, must not wait for the device, and its Python
    numbers stay as they are; only the learning rates of the `optimizers` may change. (Such an optimiser is capturable.)
    What it returns is overwritten by the next call.

    On a CPU, and where several processes train together, the step itself is called.
    """

    def __init__(self, step: Callable, *optimizers: torch.optim.Optimizer):
        self.step, self.optimizers = step, optimizers
        self.calls, self.graphs, self.rates, self.stream = Counter(), {}, [], None

    def __call__(self, *tensors: torch.Tensor, **settings) -> tuple[torch.Tensor, ...]:
        if not tensors[0].is_cuda or distributed.PROCESSES > 1:
            return self.step(*tensors, **settings)
        kind = (*(tensor.shape for tensor in tensors), *settings.values())
        self.calls[kind] += 1
        self._write_rates(tensors[0].device)
        if self.calls[kind] <= WARM_UP:
            return self._aside(self.step, tensors, settings)
        if kind not in self.graphs:
            self.graphs[kind] = self._aside(self._record, tensors, settings)
        graph, inputs, outputs = self.graphs[kind]
        for kept, tensor in zip(inputs, tensors, strict=True):
            kept.copy_(tensor)
        graph.replay()
        return outputs

    def _groups(self) -> list[dict]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def _write_rates(self, device: torch.device) -> None:
        """Write the learning rates into the memory where the kernels read them."""
        if self.stream is None:
            self.stream = torch.cuda.Stream(device)
            self.rates = [torch.zeros((), device=device) for _ in self._groups()]
        for rate, group in zip(self.rates, self._groups(), strict=True):
            rate.fill_(group["lr"])

    def _aside(self, call: Callable, tensors: tuple[torch.Tensor, ...], settings: dict):
        """The call, in a stream of its own, as recording needs it; the optimisers read the rates from memory."""
        groups = self._groups()
        numbers = [group["lr"] for group in groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = call(*tensors, **settings)
        current.wait_stream(self.stream)
        for group, number in zip(groups, numbers, strict=True):
            group["lr"] = number
        return result

    def _record(self, *tensors: torch.Tensor, **settings) -> tuple[torch.cuda.CUDAGraph, list, tuple]:
        graph, inputs = torch.cuda.CUDAGraph(), [tensor.clone() for tensor in tensors]
        with torch.cuda.graph(graph, stream=self.stream):
            outputs = self.step(*inputs, **settings)
        return graph, inputs, tuple(output.detach() for output in outputs)
