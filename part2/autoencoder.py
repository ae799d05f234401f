"""A small autoencoder: a second judge of images, trained without labels."""

from pathlib import Path

import torch
from torch import nn

from common import checkpoint
from common.runs import PRETRAINED
from part2.networks import PIXELS

KIND = "autoencoder"  # of a checkpoint


class Autoencoder(nn.Module):
    """From an image to 64 numbers and back (Hinton & Salakhutdinov 2006, with ReLU): 784 → 512 → 256 → 64 → … → 784.

    The 64 numbers must hold what the image looks like; a classifier's features may forget all but the digit.

    Shapes: images (n, 1, 28, 28) in [−1, 1] → images of the same shape; `features` returns the 64 numbers.
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Flatten(),
            nn.Linear(PIXELS, 512),
            nn.ReLU(),
            nn.Linear(512, 256),
            nn.ReLU(),
            nn.Linear(256, 64),
        )
        self.decoder = nn.Sequential(
            nn.Linear(64, 256),
            nn.ReLU(),
            nn.Linear(256, 512),
            nn.ReLU(),
            nn.Linear(512, PIXELS),
            nn.Tanh(),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.features(images)).view_as(images)


def load_autoencoder(path: Path | str = PRETRAINED / "autoencoder") -> Autoencoder:
    """Load the autoencoder of a checkpoint or a run's folder, in eval mode; UserError if there is none."""
    autoencoder = Autoencoder()
    autoencoder.load_state_dict(checkpoint.load(path, KIND)["network"])
    return autoencoder.eval()
