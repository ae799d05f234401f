"""The tasks by name."""

from part1.palindromes import ENCODINGS, NUM_CLASSES, encode
from part1.tasks.held_out import draw_palindromes
from part1.tasks.marker import MARKER
from part1.tasks.task import Task

PALINDROME = Task("palindrome", draw_palindromes, encode, ENCODINGS, NUM_CLASSES)
TASKS = {task.name: task for task in (PALINDROME, MARKER)}
