"""A trained GAN: found, loaded, saved to be shared."""

from pathlib import Path

from common.cli import UserError, print_line
from common.files import fitting, load_checkpoint, load_state, save_checkpoint
from common.find import PRETRAINED, find_run
from common.runs import read_config
from part2.gan import Discriminator, Generator
from part2.recipes.average import measure_statistics

KIND = "GAN"  # of a checkpoint
SIZES = ("latent_dim", "width", "epsilon", "signs", "labels")  # what rebuilds a generator; old checkpoints lack some


def find_generator(named: Path | None) -> Path:
    """Choose the run or checkpoint to sample from: `named` if it is given, else the newest finished run of train_gan.py
    in outputs/part2, else the pretrained generator. If it was not trained on MNIST, a line says so."""
    path = find_run(named, ["part2/train_gan.py"], PRETRAINED / "generator")
    if (name := trained_on(path).get("name", "MNIST")) != "MNIST":
        print_line(f"trained on {name}: a classifier of MNIST's digits reads any image as one of them")
    return path


def trained_on(path: Path) -> dict:
    """The `name` and `size` of the training images, and how they were read; {} if nothing says what they were."""
    data, config = load_checkpoint(path, KIND).get("data"), read_config(path, required=False)
    if not data and config:  # a checkpoint of an older version; only MNIST could be trained on
        data = {"name": "MNIST", "size": config["arguments"].get("data_size", 60_000)}
    with fitting(path):
        return data | {"size": int(data["size"])} if data else {}


def load_generator(path: Path | str) -> Generator:
    """Load the generator to sample from, in eval mode. `path` is a GAN's checkpoint or the folder of its run.

    If the recipe keeps an average of the weights, this is the average, with its statistics measured anew; else it has
    the last weights. UserError if there is no such checkpoint.
    """
    content = load_checkpoint(path, KIND)
    with fitting(path):
        generator = Generator(**{name: content[name] for name in SIZES if name in content})
        load_state(generator, content.get("average") or content["generator"])
        return measure_statistics(generator) if content.get("average") else generator


def load_discriminator(path: Path | str) -> Discriminator:
    """The discriminator that a GAN's checkpoint holds, in eval mode; `path` is the file or its run's folder.

    UserError if there is none. It played against the last weights of the generator, not against their average.
    """
    content = load_checkpoint(path, KIND)
    if "discriminator" not in content:
        raise UserError(f"{path}: holds a generator alone, no discriminator; name a run of train_gan.py")
    with fitting(path):
        return load_state(Discriminator(content["width"], content.get("labels", 0)), content["discriminator"])


def export_networks(source: Path, target: Path) -> None:
    """Write the generator to sample from and the discriminator, alone, to `target`: a few megabytes to share instead
    of a whole training."""
    content = load_checkpoint(source, KIND)
    kept = {key: content[key] for key in (*SIZES, "recipe", "data") if key in content}
    networks = {"generator": load_generator(source), "discriminator": load_discriminator(source)}
    save_checkpoint(target, KIND, kept | {name: network.state_dict() for name, network in networks.items()})
