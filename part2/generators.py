"""How a script finds its generator, and how a generator is saved to be shared."""

from pathlib import Path

from common import checkpoint
from common.runs import PRETRAINED, find_run
from part2.networks import KIND, SIZES, load_discriminator, load_generator


def find_generator(named: Path | None) -> Path:
    """Choose the run or checkpoint to sample from: `named` if it is given, else the newest finished run of train_gan.py
    in outputs/part2, else the pretrained generator."""
    return find_run(named, ["part2/train_gan.py"], PRETRAINED / "generator")


def export_networks(source: Path, target: Path) -> None:
    """Write the generator to sample from and the discriminator, alone, to `target`: a few megabytes to share instead
    of a whole training."""
    content = checkpoint.load(source, KIND)
    kept = {key: content[key] for key in (*SIZES, "recipe") if key in content}
    networks = {"generator": load_generator(source), "discriminator": load_discriminator(source)}
    checkpoint.save(target, KIND, kept | {name: network.state_dict() for name, network in networks.items()})
