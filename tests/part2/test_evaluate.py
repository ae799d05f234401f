"""evaluate.py: a generator's scores beside those of real images, the nearest neighbours, the published numbers."""

import shutil

import part2.evaluate
from common import seeds
from common.figures import tile
from common.files import CHECKPOINT, read_csv, read_json, save_checkpoint, write_json
from common.find import PRETRAINED, read_metrics
from common.machine import ROOT
from part2.evaluate import check_training_images, evaluate, parse_args
from part2.judges import train_judges
from part2.judges.judge import BirthdayTest, Judge, drawn_real, in_floors, memorised, real_baseline, real_images, sample
from part2.judges.measures import frechet, nearest, score
from part2.networks.trained import KIND, load_generator
from tests.faults import soak
from tests.tiny_runs import PART2, lighten, without

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
    write_json(source / "config.json", config | {"arguments": {"data_size": 50_000}})
    folder = start(tmp_path / "run", "--run", source, "--split", "validation", "--seed", 5)
    judge, (real, training) = Judge("validation", CPU), real_images("validation")
    generator, birthday = load_generator(source), BirthdayTest(judge)
    many = sample(generator, 5, 400)
    images = many[:200]
    generated, of_real = judge(images), real_baseline(judge, 200)
    expected = {"source": str(source), "real": of_real}
    expected["generated"] = in_floors(generated, of_real) | generated
    expected["memorised"] = memorised(images, real, training)
    expected["birthday"] = birthday(many)
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
    assert {name: last[name] for name in said} == pytest.approx(said, rel=1e-4)


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
    assert result["real"] == real_baseline(judge, judged) and result["memorised"]["too_near"] == 1


def test_another_judge_is_asked_for_by_flags(few, tmp_path):
    others = {name: tmp_path / name for name in ("classifier", "autoencoder")}
    for name, folder in others.items():
        train_judges.train_judges(train_judges.parse_args([name, "--n_epochs", "0", "--out_dir", str(folder)]))
    flags = [word for name, path in others.items() for word in (f"--{name}", path)]
    found = read_json(start(tmp_path / "run", "--run", PRETRAINED / "generator", *flags) / "result.json")
    many, judge = sample(load_generator(PRETRAINED / "generator"), 0, 400), Judge("test", CPU, **others)
    scores, birthday = judge(many[:200]), BirthdayTest(judge)
    assert {name: found["generated"][name] for name in scores} == scores
    assert 0.0 in birthday.within  # it reads some digits nowhere
    assert found["birthday"] == birthday(many)


def test_a_network_that_may_know_the_validation_images_is_refused(tmp_path, capsys):
    """By its checkpoint, or an older one by the config.json beside it; if neither says anything, too."""
    checkpoint, config = tmp_path / CHECKPOINT, tmp_path / "config.json"

    def refusal(split="validation", **content) -> str:
        save_checkpoint(checkpoint, KIND, content)
        try:
            check_training_images(tmp_path, split)
        except part2.evaluate.cli.UserError as error:
            return str(error)
        return ""

    unknown, all_of_them = "neither it nor a config.json beside it says on which images", "was trained on some of those"
    assert unknown in refusal() and refusal("test") == ""
    for size, words in ((60_000, all_of_them), (50_001, all_of_them), (50_000, "")):
        write_json(config, {"script": "part2/train_gan.py", "arguments": {"data_size": size}})
        assert words in refusal() and bool(refusal()) == bool(words)
        assert refusal("test") == ""
        config.unlink()
        assert words in refusal(data={"name": "MNIST", "size": size})
    assert capsys.readouterr().out == "" == refusal(data={"name": "Fashion-MNIST", "size": 60_000})
    assert capsys.readouterr().out == "trained on Fashion-MNIST, but compared with MNIST's images\n"


def test_a_mistake_is_one_line_and_nothing_is_written(mistake, few):
    assert "--run nowhere: there is no such run" in mistake(part2.evaluate, "--run", "nowhere")
    assert "nowhere: there is no such checkpoint" in mistake(part2.evaluate, "--classifier", "nowhere")
    assert "--images nowhere: there is no such" in mistake(part2.evaluate, "--images", "nowhere")
    assert "--images: cannot be given with --run" in mistake(part2.evaluate, "--images", "x", "--run", "y")
    seen = mistake(part2.evaluate, "--run", PRETRAINED / "generator", "--split", "validation")
    assert "--split validation:" in seen and "trained on some of those images; use --split test" in seen


def test_the_pretrained_generators_published_scores_hold_but_for_its_neighbours():
    """The nearest neighbours take longer."""
    recorded, judge = published(), Judge("test", CPU)
    images = sample(load_generator(PRETRAINED / "generator"), 0, 10_000)
    probability = judge.classifier.read(images)
    found = {f"frechet{s}": frechet(judge.features(judge.real, s), judge.features(images, s)) for s in judge.extractors}
    assert found == {name: pytest.approx(recorded[f"generated_{name}"], rel=1e-3) for name in found}
    assert score(probability) == pytest.approx(recorded["generated_score"], rel=1e-3)
    shares = (probability.argmax(1).bincount() / 10_000).tolist()
    assert shares == pytest.approx([recorded[f"generated_share_{digit}"] for digit in range(10)], abs=5e-4)


@soak
def test_all_published_scores_of_the_pretrained_generator_hold(tmp_path):
    found, recorded = read_json(start(tmp_path / "run", "--run", PRETRAINED / "generator") / "result.json"), published()
    for column in ("generated", "real", "memorised", "birthday", "birthday_real"):
        for name, value in found[column].items():
            assert value == pytest.approx(recorded[f"{column}_{name}"], rel=2e-3, abs=1e-3), (column, name)
