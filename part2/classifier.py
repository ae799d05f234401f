"""A small digit classifier. It reads the digits that a generator draws, and its features serve to measure them."""

from pathlib import Path

import torch
from torch import nn

from common import checkpoint
from common.runs import PRETRAINED

KIND = "digit classifier"  # of a checkpoint
CONFIDENT = 0.95  # a digit read with this probability or more counts as read with confidence


class Classifier(nn.Module):
    """A convolutional network (LeCun et al. 1998, with ReLU and max pooling).

    Shapes: images (n, 1, 28, 28) in [−1, 1] → logits (n, 10); `features` returns the 128 numbers before the last layer.
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (n, 16, 14, 14)
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (n, 32, 7, 7)
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 128),
            nn.ReLU(),
        )
        self.fc = nn.Linear(128, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(images))

    @torch.no_grad()
    def read(self, images: torch.Tensor) -> torch.Tensor:
        """The probability of each digit, (n, 10). Computed for 1,000 images at a time."""
        return torch.cat([self(part).softmax(1) for part in images.split(1000)])


def load_classifier(path: Path | str = PRETRAINED / "classifier") -> Classifier:
    """Load the classifier of a checkpoint or a run's folder, in eval mode; UserError if there is none."""
    classifier = Classifier()
    classifier.load_state_dict(checkpoint.load(path, KIND)["network"])
    return classifier.eval()
