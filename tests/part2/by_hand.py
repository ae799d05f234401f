"""The assignment's training loop, written plainly, with what a recipe adds to it: what recipes and runs are held to."""

import copy

import torch
from torch import nn


def train_plainly(generator, discriminator, recipe, batches) -> tuple[list[list[float]], nn.Module]:
    """Train both networks on batches of (real images, noise, learning rate).

    Returns what each batch logs (both losses, the accuracy on real and on generated images), and the average of the
    generator's weights.
    """

    def new_optimizer(network: nn.Module) -> torch.optim.Optimizer:
        if recipe.optimizer == "rmsprop":
            return torch.optim.RMSprop(network.parameters(), alpha=0.999, foreach=False)
        return torch.optim.Adam(network.parameters(), betas=recipe.betas, foreach=False, fused=False)

    def size_of_gradient(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return (gradient**2).sum() / len(images)

    bce, sigmoid, average, logged = nn.BCELoss(), torch.sigmoid, copy.deepcopy(generator), []
    paired = recipe.loss == "relativistic"
    generator_optimizer, discriminator_optimizer = new_optimizer(generator), new_optimizer(discriminator)
    for batch, (real, z, learning_rate) in enumerate(batches, start=1):
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        label = z[:, generator.latent_dim :]

        def judged(images: torch.Tensor, label: torch.Tensor = label) -> torch.Tensor:
            return discriminator.layers(torch.cat([images.flatten(1), label], 1)).squeeze(1)

        generator_optimizer.param_groups[0]["lr"] = learning_rate * recipe.generator_rate
        discriminator_optimizer.param_groups[0]["lr"] = learning_rate

        fake = generator(z)
        opponents = judged(real) if paired else 0
        g_loss = bce(sigmoid(judged(fake) - opponents), ones)
        generator_optimizer.zero_grad()
        g_loss.backward()
        generator_optimizer.step()

        real, fake = real.clone().requires_grad_(), fake.detach().requires_grad_()
        on_real, on_fake = judged(real), judged(fake)
        if paired:
            d_loss, border = bce(sigmoid(on_real - on_fake), ones), (on_real.mean() + on_fake.mean()) / 2
        else:
            d_loss, border = bce(sigmoid(on_real), ones) + bce(sigmoid(on_fake), zeros), 0
        penalty = 0
        if recipe.penalty and batch % 8 == 1:  # γ/2 (R_1 + R_2), for the seven batches that follow too
            penalty = 8 * recipe.penalty / 2 * (size_of_gradient(on_real, real) + size_of_gradient(on_fake, fake))
        discriminator_optimizer.zero_grad()
        (d_loss + penalty).backward()
        discriminator_optimizer.step()

        kept = min(recipe.average, batch / (batch + 10))
        for mean, value in zip(average.parameters(), generator.parameters(), strict=True):
            mean.data = kept * mean.data + (1 - kept) * value.data
        accuracy = (on_real > border).double().mean(), (on_fake < border).double().mean()
        logged.append([value.item() for value in (g_loss, d_loss, *accuracy)])
    return logged, average
