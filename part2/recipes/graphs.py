"""Training steps on a GPU as CUDA graphs: a step's kernels are recorded once; then one call starts them all."""

import gc
from collections import Counter
from collections.abc import Callable

import torch

WARM_UP = 3  # plain calls before the recording; in these the libraries and the optimisers allocate their memory


class Replayed:
    """Wraps a training step: records it as a CUDA graph, and from then on replays the recording.

    `Replayed(step, *optimizers)` is called as the step is: step(*tensors, **settings) → tensors.

    Python needs longer to start a small network's kernels one by one than the GPU needs to compute them. A CUDA graph
    holds all kernels of a step and the addresses that they use; one call starts them all. Each combination of shapes
    and settings gets a graph of its own, at its fourth call. The three calls before are plain.

    A replay runs no Python. So the step must change weights in place, and must not wait for the GPU (no `.item()`). A
    number of Python's in it keeps the value that it had at the recording. The exception are the learning rates of
    `optimizers`: they are copied to the GPU before each call. These optimisers need `capturable=True`. The next call
    overwrites the tensors that are returned.
    """

    def __init__(self, step: Callable, *optimizers: torch.optim.Optimizer):
        self.step, self.optimizers = step, optimizers
        self.calls, self.graphs, self.rates, self.stream = Counter(), {}, [], None

    def __call__(self, *tensors: torch.Tensor, **settings) -> tuple[torch.Tensor, ...]:
        if self.stream is None:
            self.stream = torch.cuda.Stream(tensors[0].device)
            self.rates = [tensors[0].new_zeros((), dtype=torch.float32) for _ in self._groups()]
        for rate, group in zip(self.rates, self._groups(), strict=True):
            rate.fill_(group["lr"])
        key = (*((tensor.shape, tensor.dtype) for tensor in tensors), *map(_plain, sorted(settings.items())))
        self.calls[key] += 1
        if self.calls[key] <= WARM_UP:
            return self._on_own_stream(self.step, tensors, settings)
        if key not in self.graphs:
            self.graphs[key] = self._on_own_stream(self._record, tensors, settings)
        graph, inputs, outputs = self.graphs[key]
        for recorded, tensor in zip(inputs, tensors, strict=True):
            recorded.copy_(tensor)
        graph.replay()
        return outputs

    def _groups(self) -> list[dict]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def _on_own_stream(self, call: Callable, tensors: tuple[torch.Tensor, ...], settings: dict):
        """Call it on a stream of its own, as recording needs. Meanwhile the optimisers read their learning rates from
        the GPU's memory."""
        groups = self._groups()
        numbers = [group["lr"] for group in groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        try:
            with torch.cuda.stream(self.stream):
                return call(*tensors, **settings)
        finally:
            current.wait_stream(self.stream)
            for group, number in zip(groups, numbers, strict=True):
                group["lr"] = number

    def _record(self, *tensors: torch.Tensor, **settings) -> tuple[torch.cuda.CUDAGraph, list, tuple]:
        """Record the step without running it: the graph, the memory of its inputs, and that of its outputs."""
        gc.collect()  # an old graph must not be destroyed during the recording
        graph, inputs = torch.cuda.CUDAGraph(), [tensor.clone() for tensor in tensors]
        with torch.cuda.graph(graph, stream=self.stream):
            outputs = self.step(*inputs, **settings)
        return graph, inputs, tuple(output.detach() for output in outputs)


def _plain(setting: tuple) -> tuple:
    """A setting's name and value; of an autocast, which may be a new object each time, what it does."""
    name, value = setting
    return (name, value.fast_dtype, value._enabled) if isinstance(value, torch.autocast) else setting
