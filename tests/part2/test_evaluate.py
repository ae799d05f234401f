"""evaluate.py: a generator's scores beside those of real images, the nearest neighbours, the published numbers."""

import shutil
from types import SimpleNamespace

import part2.evaluate
from common import seeds
from common.figures import tile
from common.files import CHECKPOINT, read_csv, read_json, save_checkpoint, write_json
from common.find import PRETRAINED
from common.machine import ROOT
from part2.evaluate import check_training_images, evaluate, parse_args
from part2.gan import Generator
from part2.judges.judge import Judge, in_floors, sample, sample_asked
from part2.judges.measures import frechet, nearest
from part2.judges.networks import Autoencoder, Classifier, load_classifier
from part2.networks.trained import KIND, load_generator
from part2.sources.files import Source
from tests.faults import soak
from tests.tiny_runs import without

import numpy as np
import pytest
import torch

CPU = torch.device("cpu")


def start(folder, *flags):
    return evaluate(parse_args(["--device", "cpu", "--out_dir", str(folder), *map(str, flags)]))


def published() -> dict:
    """The recorded scores of the pretrained generator."""
    rows = read_csv(ROOT / "outputs" / "report" / "part2" / "evaluate" / "runs.csv")
    return next(row for row in rows if row["run"] == "improved")


def test_scores_stand_beside_those_of_real_ones_and_digits_above_their_nearest(few, tmp_path, capsys, figures):
    saved, source = figures(part2.evaluate), shutil.copytree(PRETRAINED / "generator", tmp_path / "generator")
    config = read_json(source / "config.json")
    write_json(source / "config.json", config | {"arguments": {"data_size": 400}})
    folder = start(tmp_path / "run", "--run", source, "--split", "validation", "--seed", 5)
    judge, images = Judge("validation", CPU), sample(load_generator(source), 5, 200)
    generated, of_real = judge(images), judge.baseline(200)
    expected = {"source": str(source), "real": of_real, "generated": in_floors(generated, of_real) | generated}
    assert without(read_json(folder / "result.json"), "run") == expected
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["coverage", f"{generated['coverage']:.3f}", f"{of_real['coverage']:.3f}"] in rows
    assert ["distance", "÷", "floor", f"{generated['frechet'] / of_real['frechet']:.3f}", "1.000"] in rows
    near = nearest(images[:12], judge.training, n=3)[1].T
    shown = [*images[:12], *(judge.training[k] for column in near for k in column)]
    assert np.array_equal(saved[0].axes[0].images[0].get_array(), tile(torch.stack(shown), 12))


def test_digits_that_a_generator_was_asked_for_are_compared_with_what_is_read(few, tmp_path, capsys):
    """Unless it knows other images than the judge."""
    generator, path = Generator(6, labels=10).eval(), tmp_path / "g.pt"
    content = {"generator": generator.state_dict(), "latent_dim": 6, "width": 1, "labels": 10}
    images, asked = sample_asked(generator, 0, 200)
    read = load_classifier().read(images).argmax(1)
    for name, expected in (("MNIST", (read == asked).float().mean().item()), ("KMNIST", None)):
        save_checkpoint(path, KIND, content | {"data": {"name": name, "size": 400}})
        result = read_json(start(tmp_path / name, "--run", path) / "result.json")["generated"]
        assert result.get("asked") == (pytest.approx(expected) if expected else None)
        assert ("read as asked" in capsys.readouterr().out) == bool(expected)


@pytest.mark.parametrize(("held", "judged"), [(300, 200), (150, 150)])
def test_images_of_any_program_are_judged_beside_as_many_real_ones(held, judged, few, tmp_path):
    """Of more than are judged a random part, as a file may be sorted."""
    images = few["train"].images[few["train"].labels.argsort()][:held]
    np.save(tmp_path / "digits.npy", images.numpy())
    chosen = images[torch.randperm(held, generator=seeds.generator(2, "order"))[:judged]]
    result = read_json(start(tmp_path / "run", "--images", tmp_path / "digits.npy", "--seed", 2) / "result.json")
    judge = Judge("test", CPU)
    assert result["source"] == str(tmp_path / "digits.npy")
    assert result["generated"]["frechet"] == pytest.approx(judge(chosen)["frechet"])
    assert result["real"] == judge.baseline(judged) and result["generated"]["authentic"] == 0


def test_where_other_images_are_the_real_ones_as_many_as_they_have_are_judged(few, tmp_path, capsys):
    """130 images, of which 112 are training images and 18 real ones; a judge without labels."""
    np.save(tmp_path / "mine.npy", few["train"].images[:130].numpy())
    network, source = Autoencoder(), Source(str(tmp_path / "mine.npy"))
    data = source.describe(source.load("train").images)
    save_checkpoint(tmp_path / "a.pt", network.kind, {"network": network.state_dict(), "data": data})
    folder = start(tmp_path / "run", "--run", PRETRAINED / "generator", "--autoencoder", tmp_path / "a.pt")
    result, said = read_json(folder / "result.json"), capsys.readouterr().out
    judge = Judge("test", CPU, autoencoder=tmp_path / "a.pt")
    images = sample(load_generator(PRETRAINED / "generator"), 0, 112)
    assert result["generated"] == in_floors(judge(images), judge.baseline(112)) | judge(images)
    assert f"trained on MNIST, but compared with {source.name}'s images (for its own" in said
    assert f"112 images compared with {source.name}'s 18 test images\n" in said and "smudged" not in said


def test_another_judge_is_asked_for_by_flags(few, tmp_path):
    others = {"classifier": tmp_path / "c.pt", "autoencoder": tmp_path / "a.pt"}
    for network, path in zip((Classifier(), Autoencoder()), others.values(), strict=True):
        save_checkpoint(path, network.kind, {"network": network.state_dict()})
    np.save(tmp_path / "digits.npy", few["train"].images[:150].numpy())
    flags = [word for name, path in others.items() for word in (f"--{name}", path)]
    found = read_json(start(tmp_path / "run", "--images", tmp_path / "digits.npy", *flags) / "result.json")["real"]
    assert found == Judge("test", CPU, **others).baseline(150) != Judge("test", CPU).baseline(150)


def test_a_network_that_may_know_the_validation_images_is_refused(tmp_path, capsys):
    """By its checkpoint, or an older one by the config.json beside it; if neither says anything, too."""

    judge = SimpleNamespace(source=Source(), training=range(400))

    def refusal(split="validation", config=None, **content) -> str:
        save_checkpoint(tmp_path / CHECKPOINT, KIND, content)
        write_json(tmp_path / "config.json", config or {})
        try:
            return check_training_images(tmp_path, judge, split) or ""
        except part2.evaluate.cli.UserError as error:
            return str(error)

    assert "neither it nor a config.json beside it says" in refusal() and refusal("test") == ""
    for size, words in ((60_000, "trained on some of those"), (401, "trained on some of those"), (400, "")):
        of = {"data": {"name": "MNIST", "size": size}}, {"config": {"script": "…", "arguments": {"data_size": size}}}
        for knowledge in of:
            assert words in (found := refusal(**knowledge)) and bool(found) == bool(words)
            assert refusal("test", **knowledge) == ""
    assert capsys.readouterr().out == "" == refusal(data={"name": "Fashion-MNIST", "size": 60_000})
    assert "trained on Fashion-MNIST, but compared with MNIST's images (for its own" in capsys.readouterr().out


def test_a_mistake_is_one_line_and_nothing_is_written(mistake, few):
    for flags, words in {
        "--run nowhere": "--run nowhere: there is no such run",
        "--classifier nowhere": "nowhere: cannot be read (No such file",
        "--images nowhere": "nowhere: there is no such file",
        "--images MNIST": "MNIST: there is no such file",
        "--images x --run y": "--images: cannot be given with --run",
    }.items():
        assert words in mistake(part2.evaluate, *flags.split())


def test_the_pretrained_generators_published_scores_hold_but_for_its_neighbours():
    """The nearest neighbours take longer."""
    recorded, judge = published(), Judge("test", CPU)
    images = sample(load_generator(PRETRAINED / "generator"), 0, 10_000)
    features = {suffix: judge.features(images, suffix) for suffix in judge.extractors}
    probability = judge.classifier.fc(features[""]).softmax(1)
    found = {f"frechet{suffix}": frechet(judge.features(judge.real, suffix), f) for suffix, f in features.items()}
    assert found == {name: pytest.approx(recorded[f"generated_{name}"], rel=1e-3) for name in found}
    shares = (probability.argmax(1).bincount() / 10_000).tolist()
    assert shares == pytest.approx([recorded[f"generated_share_{digit}"] for digit in range(10)], abs=5e-4)


@soak
def test_all_published_scores_of_the_pretrained_generator_hold(tmp_path):
    found, recorded = read_json(start(tmp_path / "run", "--run", PRETRAINED / "generator") / "result.json"), published()
    for column in ("generated", "real"):
        newer = {name for name in found[column] if name == "authentic" or name.startswith(("kid", "floors"))}
        for name, value in found[column].items():
            if name in newer and f"{column}_{name}" not in recorded:
                continue
            assert value == pytest.approx(recorded[f"{column}_{name}"], rel=2e-3, abs=1e-3), (column, name)
