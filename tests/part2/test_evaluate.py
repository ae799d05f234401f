"""evaluate.py: a generator's figures beside those of real images, the nearest neighbours, the published numbers."""

import shutil

import numpy as np
import pytest
import torch

import part2.evaluate
import part2.train_gan
import part2.train_judges
from common import seeds
from common.figures import tile
from common.files import read_json, write_json
from common.runs import PRETRAINED, ROOT, read_metrics
from part2.evaluate import evaluate, parse_args
from part2.judge import BirthdayTest, Judge, drawn_real, in_floors, memorised, real_baseline, real_images, sample
from part2.measures import frechet, nearest, score
from part2.networks import load_generator
from part2.rejection import load_rejection
from tests.faults import soak
from tests.tiny_runs import PART2, lighten, without

CPU = torch.device("cpu")
RECORDED = ROOT / "outputs" / "report" / "part2" / "improved" / "evaluate"


def start(folder, *flags):
    return evaluate(parse_args(["--device", "cpu", "--out_dir", str(folder), *map(str, flags)]))


@pytest.mark.parametrize("split", ["test", "validation"])
def test_figures_stand_beside_those_of_real_ones_and_digits_above_their_nearest(split, few, tmp_path, capsys, figures):
    saved, source = figures(part2.evaluate), shutil.copytree(PRETRAINED / "generator", tmp_path / "generator")
    config = read_json(source / "config.json")
    write_json(source / "config.json", config | {"arguments": {"data_size": 50_000}})
    folder = start(tmp_path / "run", "--run", source, "--split", split, "--seed", 5)
    judge, (real, training) = Judge(split, CPU), real_images(split)
    generator, birthday = load_generator(source), BirthdayTest(judge)
    images = sample(generator, 5, 200)
    generated, of_real = judge(images), real_baseline(judge, 200)
    expected = {"source": str(source), "real": of_real}
    expected["generated"] = in_floors(generated, of_real) | generated
    expected["memorised"] = memorised(images, real, training)
    expected["birthday"] = birthday(sample(generator, 5, 400))
    expected["birthday_real"] = birthday(judge.training[drawn_real(judge, 5, 400)])
    assert without(read_json(folder / "result.json"), "run") == expected
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["coverage", f"{generated['coverage']:.3f}", f"{of_real['coverage']:.3f}"] in rows
    floors = generated["frechet"] / of_real["frechet"]
    assert ["distance", "÷", "floor", f"{floors:.3f}", "1.000"] in rows
    near = [*images[:12], *(training[k] for column in nearest(images[:12], training, n=3)[1].T for k in column)]
    assert np.array_equal(saved[0].axes[0].images[0].get_array(), tile(torch.stack(near), 12))


def test_the_last_measurement_of_training_is_what_is_said_of_the_run(few, tmp_path, monkeypatch):
    lighten(monkeypatch.setattr, narrow=False)
    run = PART2.start(tmp_path / "run", "--eval_interval", 2, "--eval_split", "test", "--seed", 4)
    said = read_json(start(tmp_path / "judged", "--run", run, "--seed", 4) / "result.json")["generated"]
    last = read_metrics(run)[-1]
    assert {name: last[name] for name in said} == said


def test_images_of_any_program_are_judged_beside_as_many_real_ones(few, tmp_path):
    """Of more than are judged a random part, as a file may be sorted."""
    images = few["train"].images[few["train"].labels.argsort()][:300]
    np.save(tmp_path / "digits.npy", images.numpy())
    chosen = images[torch.randperm(300, generator=seeds.generator(2, "order"))[:200]]
    result = read_json(start(tmp_path / "run", "--images", tmp_path / "digits.npy", "--seed", 2) / "result.json")
    judge = Judge("test", CPU)
    assert result["source"] == str(tmp_path / "digits.npy")
    assert result["generated"]["frechet"] == pytest.approx(judge(chosen)["frechet"])
    assert result["real"] == real_baseline(judge, 200) and result["memorised"]["too_near"] == 1


def test_another_judge_is_asked_for_by_flags(few, tmp_path):
    others = {name: tmp_path / name for name in ("classifier", "autoencoder")}
    for name, folder in others.items():
        part2.train_judges.train(part2.train_judges.parse_args([name, "--n_epochs", "0", "--out_dir", str(folder)]))
    flags = [word for name, path in others.items() for word in (f"--{name}", path)]
    found = read_json(start(tmp_path / "run", "--run", PRETRAINED / "generator", *flags) / "result.json")
    figures = Judge("test", CPU, **others)(sample(load_generator(PRETRAINED / "generator"), 0, 200))
    assert {name: found["generated"][name] for name in figures} == figures
    birthday = BirthdayTest(Judge("test", CPU, **others))
    assert 0.0 in birthday.within  # it reads some digits nowhere
    assert found["birthday"] == birthday(sample(load_generator(PRETRAINED / "generator"), 0, 400))


def test_rejection_is_asked_for_by_flags(few, tmp_path):
    pretrained = PRETRAINED / "generator"
    flags = ["--run", pretrained, "--reject", "jacobian", "--reject_share", 0.4]
    judged, generator = start(tmp_path / "run", *flags), load_generator(pretrained)
    images = sample(generator, 0, 200, load_rejection(pretrained, generator, ["jacobian"], 0.4))
    assert read_json(judged / "result.json")["generated"]["score"] == Judge("test", CPU)(images)["score"]


def test_a_mistake_is_one_line_and_nothing_is_written(mistake, few, monkeypatch):
    assert "--run nowhere: there is no such run" in mistake(part2.evaluate, "--run", "nowhere")
    assert "nowhere: there is no such checkpoint" in mistake(part2.evaluate, "--classifier", "nowhere")
    assert "--images nowhere: there is no such" in mistake(part2.evaluate, "--images", "nowhere")
    assert "--images: cannot be given with --run" in mistake(part2.evaluate, "--images", "x", "--run", "y")
    pretrained = str(PRETRAINED / "generator")  # by all training images
    seen = mistake(part2.evaluate, "--run", pretrained, "--split", "validation")
    assert "--split validation:" in seen and "trained on some of those images; use --split test" in seen
    assert "--reject_share 0.4: leaves out nothing" in mistake(part2.evaluate, "--reject_share", "0.4")
    monkeypatch.setitem(part2.judge.EXTRACTORS, "classifier", "0" * 64)
    assert "differs from the network" in mistake(part2.evaluate)
    assert "differs from the network" in mistake(part2.train_gan, "--eval_interval", 1, "--data_size", 64)


def test_the_pretrained_generators_published_figures_hold_but_for_its_neighbours():
    """The nearest neighbours take longer."""
    recorded, judge = read_json(RECORDED / "result.json")["generated"], Judge("test", CPU)
    images = sample(load_generator(PRETRAINED / "generator"), 0, 10_000)
    probability = judge.classifier.read(images)
    found = {f"frechet{s}": frechet(judge.features(judge.real, s), judge.features(images, s)) for s in judge.extractors}
    assert found == {name: pytest.approx(recorded[name], rel=1e-3) for name in found}
    assert score(probability) == pytest.approx(recorded["score"], rel=1e-3)
    shares = (probability.argmax(1).bincount() / 10_000).tolist()
    assert shares == pytest.approx([recorded[f"share_{digit}"] for digit in range(10)], abs=5e-4)


@soak
def test_all_published_figures_of_the_pretrained_generator_hold(tmp_path):
    found = read_json(start(tmp_path / "run", "--run", PRETRAINED / "generator") / "result.json")
    recorded = read_json(RECORDED / "result.json")
    for column in ("generated", "real", "memorised"):
        assert found[column] == pytest.approx(recorded[column], rel=2e-3, abs=1e-3), column
