"""What a sequence task is."""

from collections.abc import Callable
from typing import NamedTuple

import torch


class Automaton(NamedTuple):
    """A task, one symbol at a time. State 0 is the start; symbol x leads from state q to next[q, x], and the right
    answer is then answers[next[q, x]].

    next       (states, symbols); −1 where a symbol cannot come
    answers    (states,); −1 where there is none
    """

    next: torch.Tensor
    answers: torch.Tensor

    @property
    def is_kept(self) -> torch.Tensor:
        """Which states no symbol leaves, (states,): they are to be remembered."""
        state = torch.arange(len(self.next), device=self.next.device).unsqueeze(1)
        return ((self.next == state) | (self.next < 0)).all(1)

    @property
    def is_left(self) -> bool:
        """Whether a symbol leads to a state that another symbol leaves."""
        return not self.is_kept[self.next[self.next >= 0]].all()

    def states(self, symbols: torch.Tensor) -> torch.Tensor:
        """Symbols (n, time) → the state after each of them, (n, time)."""
        q, states = symbols.new_zeros(len(symbols), dtype=torch.long), []
        for x_t in symbols.long().unbind(1):
            q = self.next[q, x_t]
            states.append(q)
        return torch.stack(states, dim=1)


class Task(NamedTuple):
    """A network reads a sequence and answers once, at its end. A new task is a file like marker.py and a line in TASKS.

    draw        (n, input_length, rng, monotonous=0) → digits uint8 (n, input_length + 1): the input, then the target.
                The first `monotonous` sequences have few different digits
    encode      (digits (…, time), encoding) → x (…, time, input_dim)
    input_dim   encoding → numbers per step
    classes     the number of answers
    automaton   the same task, one symbol at a time; `encode` takes its symbols as digits
    """

    name: str
    draw: Callable[..., torch.Tensor]
    encode: Callable[[torch.Tensor, str], torch.Tensor]
    input_dim: dict[str, int]
    classes: int
    automaton: Automaton

    def to(self, device: torch.device) -> "Task":
        """The task with its automaton on the device."""
        return self._replace(automaton=Automaton(*(part.to(device) for part in self.automaton)))
