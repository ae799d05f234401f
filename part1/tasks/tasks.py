"""The tasks by name."""

from part1.palindromes import ENCODINGS, NUM_CLASSES, encode
from part1.tasks.held_out import draw_palindromes
from part1.tasks.marker import MARKER
from part1.tasks.sums import SUMS
from part1.tasks.task import Automaton, Task

import torch

FIRST = torch.arange(1, 1 + NUM_CLASSES)  # state 1 + d: the first digit was d
REMEMBER = Automaton(torch.cat([FIRST[None], FIRST[:, None].expand(-1, NUM_CLASSES)]), torch.arange(-1, NUM_CLASSES))
PALINDROME = Task("palindrome", draw_palindromes, encode, ENCODINGS, NUM_CLASSES, REMEMBER)
TASKS = {task.name: task for task in (PALINDROME, MARKER, *SUMS)}
