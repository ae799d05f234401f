"""The two networks whose features describe an image: a digit classifier, and an autoencoder trained without labels."""

from pathlib import Path

from common.files import fitting, load_checkpoint, load_state
from common.find import PRETRAINED
from part2.gan import PIXELS

import torch
from torch import nn

CONFIDENT = 0.95  # a digit read with this probability or more counts as read with confidence


class Classifier(nn.Module):
    """A convolutional network (LeCun et al. 1998, with ReLU and max pooling).

    Shapes: images (n, 1, 28, 28) in [−1, 1] → logits (n, 10); `features` returns the 128 numbers before the last layer.

    `load_classifier().features` may be given to torchmetrics' FrechetInceptionDistance and KernelInceptionDistance as
    `feature`; their `update` then takes such images.
    """

    kind = "digit classifier"  # of its checkpoints

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
        self.features.num_features = 128  # torchmetrics asks for it
        self.fc = nn.Linear(128, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(images))

    @torch.no_grad()
    def read(self, images: torch.Tensor) -> torch.Tensor:
        """The probability of each digit, (n, 10). Computed for 1,000 images at a time."""
        return torch.cat([self(part).softmax(1) for part in images.split(1000)])


class Autoencoder(nn.Module):
    """From an image to 64 numbers and back (Hinton & Salakhutdinov 2006, with ReLU): 784 → 512 → 256 → 64 → … → 784.

    The 64 numbers must hold what the image looks like; a classifier's features may forget all but the digit.

    Shapes: images (n, 1, 28, 28) in [−1, 1] → images of the same shape; `features` returns the 64 numbers.
    """

    kind = "autoencoder"

    def __init__(self):
        super().__init__()
        layers = [nn.Linear(PIXELS, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 64)]
        self.features = nn.Sequential(nn.Flatten(), *layers)
        layers = [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, PIXELS), nn.Tanh()]
        self.decoder = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.features(images)).view_as(images)


def load_classifier(path: Path | str = PRETRAINED / "classifier") -> Classifier:
    """Load the classifier of a checkpoint or a run's folder, in eval mode; UserError if there is none."""
    return _load(Classifier(), path)


def load_autoencoder(path: Path | str = PRETRAINED / "autoencoder") -> Autoencoder:
    """Load the autoencoder of a checkpoint or a run's folder, in eval mode; UserError if there is none."""
    return _load(Autoencoder(), path)


def _load(network: nn.Module, path: Path | str) -> nn.Module:
    """… `trained_on` says which images it knows: MNIST's, if the checkpoint is older than that."""
    content = load_checkpoint(path, network.kind)
    with fitting(path):
        network.trained_on = {"name": "MNIST"} | content.get("data", {})
        return load_state(network, content["network"])
