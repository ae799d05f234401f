"""A GAN (Goodfellow et al. 2014) of two plain multilayer perceptrons, their losses, and one training step."""

import copy
import itertools

from common.inputs import check_tensor
from common.products import Linear
from part2.recipes.average import measure_statistics, update_average
from part2.recipes.graphs import Replayed

import torch
import torch.nn.functional as F
from torch import nn

PIXELS = 28 * 28
SIGN = 3.0  # the size of a latent number that is a sign
LABEL = 2.0  # the latent number of an image's own label; that of each other label is 0
PENALTY_INTERVAL = 8  # the gradient penalty is computed in every 8th batch, times 8 (Karras et al. 2020)


class Generator(nn.Module):
    """Maps noise z to an image: latent → 128 → 256 → 512 → 1024 → 784.

        h_1     = LeakyReLU(W_1 z + b_1)                              128 units
        h_k     = LeakyReLU(BatchNorm(W_k h_{k−1} + b_k))             256, 512, 1024 units
        G(z)    = tanh(W_5 h_4 + b_5)                                 784 pixels in [−1, 1]

    with LeakyReLU(a) = max(a, 0.2 a) and BatchNorm(a) = γ (a − mean) / √(var + ε) + β over the batch (over running
    averages in eval mode; Ioffe & Szegedy 2015). Here and in the discriminator, activations are computed in place: a
    hook that keeps a layer's output must copy it, and full backward hooks need `inplace = False` in each LeakyReLU.
    To export either network, use torch.export or torch.jit.trace; torch.jit.script and torch.fx cannot read the checks.

    Shapes: z (n, latent_dim + labels), as `draw` draws it → images (n, 1, 28, 28). `width` widens all hidden layers;
    `epsilon` is BatchNorm's ε; `signs` and `labels`: see `draw`.
    """

    def __init__(self, latent_dim: int, width: int = 1, epsilon: float = 1e-5, signs: int = 0, labels: int = 0):
        super().__init__()
        self.latent_dim, self.width, self.signs, self.labels = latent_dim, width, signs, labels
        widths = [width * units for units in (128, 256, 512, 1024)]
        layers = [Linear(latent_dim + labels, widths[0]), nn.LeakyReLU(0.2, inplace=True)]
        for n_in, n_out in itertools.pairwise(widths):
            layers += [Linear(n_in, n_out), nn.BatchNorm1d(n_out, epsilon), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, Linear(widths[-1], PIXELS), nn.Tanh())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        check_tensor("z", z, ("n", self.latent_dim + self.labels), self.layers[0].weight)
        return self.layers(z).unflatten(1, (1, 28, 28))

    def draw(self, n: int, rng: torch.Generator, label: torch.Tensor | None = None) -> torch.Tensor:
        """n latent points z on the CPU: standard normal, but the first `signs` numbers are 3 or −3.

        Between two points that differ in a sign there is a gap, as there is between two digits. A walk from one to the
        other passes points that are never drawn.

        If the generator knows labels (Mirza & Osindero 2014), z ends with a number for each, (0 … 2 … 0): 2 for the
        image's own. `label` (n,) holds these, int64; if it is None, they are drawn too, all equally often.
        """
        z = torch.randn(n, self.latent_dim, generator=rng)
        z[:, : self.signs] = torch.where(z[:, : self.signs] > 0, SIGN, -SIGN)
        if self.labels:
            label = torch.randint(self.labels, (n,), generator=rng) if label is None else label
            z = torch.cat([z, LABEL * F.one_hot(label, self.labels)], 1)
        return z


class Discriminator(nn.Module):
    """Tells real images from generated ones: 784 → 512 → 256 → 1, LeakyReLU(0.2) in between.

        D(x) = σ(logit(x)),   the probability that x is real

    A call returns the logit, with which binary cross entropy is exact; `probability` returns D(x). (`BCELoss` on D(x)
    is the same loss, but in float32 its gradient vanishes for logits beyond ±20.)

    If it knows labels, its first layer sees the image's own beside the pixels: `label`, the end of an image's z.

    Shapes: images (n, 1, 28, 28), label (n, labels) → (n,). `width` widens both hidden layers.
    """

    def __init__(self, width: int = 1, labels: int = 0):
        super().__init__()
        self.labels = labels
        hidden = [Linear(PIXELS + labels, 512 * width), nn.LeakyReLU(0.2, inplace=True)]
        hidden += [Linear(512 * width, 256 * width), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*hidden, Linear(256 * width, 1))

    def forward(self, images: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        check_tensor("images", images, ("n", 1, 28, 28), self.layers[0].weight)
        x = images.flatten(1)
        if self.labels:
            check_tensor("label", label, ("n", self.labels), x)
            x = torch.cat([x, label], 1)
        return self.layers(x).squeeze(1)

    def probability(self, images: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        return torch.sigmoid(self(images, label))


def generator_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """−E[log D(G(z))]: the non-saturating form, fakes labelled real (Goodfellow et al. 2014).

    With D = σ(logit), −log D = softplus(−logit), which is binary cross entropy against 1.
    """
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """−E[log D(x)] − E[log(1 − D(G(z)))]: binary cross entropy, the sum of its real and its fake part."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def gradient_penalty(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """E|∂logit/∂image|² over images (n, 1, 28, 28) and their logits (n,).

    Over as many real images as generated ones, γ times this is γ/2 (R_1 + R_2): the penalties on either (Mescheder et
    al. 2018; Huang et al. 2024). It keeps D from growing steep around data that it can tell apart already.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum() / len(images)


class Game:
    """Generator against discriminator, by a Recipe (part2/recipes/recipes.py): both networks, their optimisers, and the
    average of the generator's weights, or None. If the recipe's loss is paired, it compares each image with a real one.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, recipe):
        self.generator, self.discriminator, self.recipe = generator, discriminator, recipe
        self.generator_optimizer = recipe.make_optimizer(generator)
        self.discriminator_optimizer = recipe.make_optimizer(discriminator)
        self.set_learning_rate(recipe.learning_rate)
        self.average = copy.deepcopy(generator) if recipe.average else None
        self.update = self.update_both
        if next(generator.parameters()).is_cuda:  # the same, faster
            self.update = Replayed(self.update_both, self.generator_optimizer, self.discriminator_optimizer)

    def learners(self) -> dict:
        """All that a checkpoint must hold, by name."""
        return {name: learner for name, learner in vars(self).items() if hasattr(learner, "state_dict")}

    def set_learning_rate(self, learning_rate: float) -> None:
        """The discriminator's; the generator's is the recipe's multiple of it."""
        self.generator_optimizer.param_groups[0]["lr"] = self.recipe.generator_rate * learning_rate
        self.discriminator_optimizer.param_groups[0]["lr"] = learning_rate

    def sampler(self) -> Generator:
        """What `load_generator` would return if training ended here, to sample from; training is untouched."""
        return measure_statistics(copy.deepcopy(self.average)) if self.average else copy.deepcopy(self.generator).eval()

    def step(
        self, real: torch.Tensor, z: torch.Tensor, batch: int, autocast: torch.autocast
    ) -> tuple[torch.Tensor, ...]:
        """Train both networks on a batch of real images (n, 1, 28, 28) and as many z (with their labels), once each.

        `batch` counts from 0. Returns the generator's loss, the discriminator's, and the discriminator's accuracy on
        real and on generated images. (On CUDA the next call overwrites them.)
        """
        penalised = self.recipe.penalty > 0 and batch % PENALTY_INTERVAL == 0
        measures = self.update(real, z, penalised=penalised, autocast=autocast)
        if self.average:
            update_average(self.average, self.generator, self.recipe.average, batch + 1)
        return measures

    def update_both(
        self, real: torch.Tensor, z: torch.Tensor, penalised: bool, autocast: torch.autocast
    ) -> tuple[torch.Tensor, ...]:
        """One step of each optimiser, the generator's first."""
        generator, discriminator, loss = self.generator, self.discriminator, self.recipe.losses
        label = z[:, generator.latent_dim :]

        # Generator: make the discriminator call its images real. The discriminator's weights need no gradient here.
        discriminator.requires_grad_(False)
        with autocast:
            fake = generator(z).float()
            fake_logits = discriminator(fake, label).float()
            real_logits = discriminator(real, label).float() if loss.paired else None
            g_loss = loss.generator(fake_logits, real_logits) if loss.paired else loss.generator(fake_logits)
        discriminator.requires_grad_(True)
        self.generator_optimizer.zero_grad()
        g_loss.backward()
        self.generator_optimizer.step()

        # Discriminator: tell real images from the same fakes, detached. One pass over both.
        images = torch.cat([real, fake.detach()])
        with autocast:
            logits = discriminator(images.requires_grad_(penalised), torch.cat([label, label])).float()
            penalty = gradient_penalty(logits, images) if penalised else 0.0
        real_logits, fake_logits = logits.chunk(2)
        d_loss = loss.discriminator(real_logits, fake_logits)
        self.discriminator_optimizer.zero_grad()
        (d_loss + PENALTY_INTERVAL * self.recipe.penalty * penalty).backward()
        self.discriminator_optimizer.step()

        border = logits.mean() if loss.paired else 0.0  # of paired logits only differences mean something
        on_real, on_fake = (real_logits > border).float().mean(), (fake_logits < border).float().mean()
        return g_loss, d_loss, on_real, on_fake
