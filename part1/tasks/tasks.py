"""The tasks by name."""

from part1.tasks.marker import MARKER
from part1.tasks.palindrome import PALINDROME
from part1.tasks.sums import SUMS

TASKS = {task.name: task for task in (PALINDROME, MARKER, *SUMS)}
