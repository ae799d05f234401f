"""The inverse of a generator: what it drew is found again, one step by hand, what stays fixed, what is measured."""

import part2.networks.inverse
import part2.networks.trained
from common.find import PRETRAINED
from part2.gan import Generator
from part2.networks.inverse import find, find_z
from part2.networks.trained import load_generator

import pytest
import torch

