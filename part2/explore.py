"""A page that runs a generator in a browser: drag between three digits, draw one of your own, play and save the walk.

    python part2/explore.py                                       the newest run's generator
    python part2/explore.py --run outputs/pretrained/generator    the pretrained generator

Without --run, it takes the newest finished run of train_gan.py in outputs/part2, else the pretrained generator. Writes
a folder outputs/part2/explore-seedN-TIME with explore.html, one file of 9 MB that needs neither a server nor the
internet, and result.json. The dragged point stands for

    z = w_1 z_1 + w_2 z_2 + w_3 z_3,    w_k ≥ 0 and w_1 + w_2 + w_3 = 1

with z_k latent points whose images the classifier reads confidently as the digits chosen. The page draws G(z), within
one of 255 grey levels of PyTorch's, and says what the classifier reads, within 1e-3. The triangle is painted by what it
reads at 325 places. The walk z_1 → z_2 → z_3, ten steps from each to the next, can be played and saved as a PNG strip.

For a digit drawn on the page it finds z as networks/inverse.py does, but sooner: from the nearest 4 of 1,000 latent
points, in 100 steps each. The address holds the corners, the point and the z found, so that it can be sent.
"""

import argparse
import base64
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from common.files import read_json
from common.find import PRETRAINED
from common.pages import build, encode, finish
from common.runs import Run, path_as_text, read_config
from part2.gan import Generator
from part2.judges.networks import Classifier, load_classifier
from part2.networks.inverse import WEIGHT
from part2.networks.trained import find_generator, load_generator, trained_on
from part2.networks.walks import draw_and_read, find_ends

import torch
from torch import nn

ENDS = 8  # latent points of a digit, at most
CANDIDATES, STEPS, RATE = 1000, 100, 0.1  # of the search for a drawing, from four at once; fewer steps are larger
TEMPLATE = Path(__file__).parent / "page" / "explore.html"


def fold(generator: Generator) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight (n_out, n_in) and bias (n_out) of each linear layer, the BatchNorm after it made part of it.

    γ (W h + b − mean) / √(var + ε) + β = (s W) h + s (b − mean) + β    with s = γ / √(var + ε), row by row
    """
    folded = []
    for layer in generator.layers:
        if isinstance(layer, nn.Linear):
            folded.append((layer.weight.double(), layer.bias.double()))
        elif isinstance(layer, nn.BatchNorm1d):
            weight, bias = folded.pop()
            s = layer.weight.double() / (layer.running_var.double() + layer.eps).sqrt()
            folded.append((s.unsqueeze(1) * weight, s * (bias - layer.running_mean) + layer.bias))
    return folded


def as_text(z: torch.Tensor) -> str:
    """A latent point to a precision of 1/32, a byte a number, in base64; `fromText` in drawing.js decodes it."""
    return base64.b64encode((32 * z).round().clamp(-127, 127).to(torch.int8).cpu().numpy().tobytes()).decode()


def tell(source: Path, generator: Generator) -> str:
    """Which network draws, and which one reads."""
    settings, data = read_config(source, required=False).get("arguments", {}), trained_on(source)
    size = sum(weights.numel() for weights in generator.parameters())
    ended = ((source.parent if source.is_file() else source) / "result.json").exists()
    long = f"{'' if ended else 'less than '}{settings.get('n_epochs')} epochs"
    how = f" for {long} by the recipe {settings['recipe']}" if "recipe" in settings else ""
    what = f" on {data['size']:,} images of {data['name']}" if data else ""
    told = " It is told which digit to draw." if generator.labels else ""
    right = 100 * read_json(PRETRAINED / "classifier" / "result.json")["test_accuracy"]
    return (
        f"The pictures are drawn by {path_as_text(source)}, the generator of a GAN without convolutions ({size:,} "
        f"parameters), trained{how}{what}.{told} They are read by a convolutional classifier. It reads {right:.1f} % "
        "of MNIST’s test images as their labels say, and takes any picture for some digit."
    )


def build_page(
    generator: Generator, classifier: Classifier, ends: dict[int, torch.Tensor], seed: int, about: str
) -> str:
    """The template with both networks in it, of each digit the latent points (n, …) to start from, and the latent
    points from which the z of a drawing is searched for."""
    readers = [layer for layer in classifier.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    drawn = generator.draw(CANDIDATES, seeds.generator(seed, "starts"))
    free = [generator.signs, generator.latent_dim]
    search = {"candidates": list(map(as_text, drawn)), "steps": STEPS, "rate": RATE, "weight": WEIGHT, "free": free}
    model = {
        "generator": [[encode(weight), encode(bias)] for weight, bias in fold(generator)],
        "classifier": [[encode(layer.weight), encode(layer.bias)] for layer in readers],
        "ends": [[encode(z) for z in ends.get(digit, [])] for digit in range(10)],
    }
    return build(TEMPLATE, model | {"search": search, "seed": seed, "about": about})


@torch.no_grad()
def explore(args: argparse.Namespace) -> Path:
    """Write the page of one generator; returns the folder."""
    source = find_generator(args.run)
    generator = load_generator(source).to(args.device)
    classifier = load_classifier().to(args.device)
    z, probability = draw_and_read(generator, classifier, args.seed)
    digits = probability.argmax(1).unique().tolist()
    if len(digits) < 2:
        what = f"the classifier reads all of {len(z):,} images as a {digits[0]}"
        raise cli.UserError(f"{source}: {what}; train it for longer, or name another --run")
    ends = {digit: points[:ENDS] for digit, points in find_ends(z, probability, digits).items()}
    page = build_page(generator, classifier, ends, args.seed, tell(source, generator))

    run = Run.open(args, "part2/explore.py", f"part2/explore-seed{args.seed}")
    if missing := set(range(10)) - set(digits):
        cli.print_line(f"it draws none of the digits {', '.join(map(str, sorted(missing)))}; the page leaves them out")
    counts = {digit: len(points) for digit, points in ends.items()}
    finish(run, page, {"generator": path_as_text(source), "ends": counts})
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--run", type=Path, help=cli.RUN)
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: explore(parse_args()))
