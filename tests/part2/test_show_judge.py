"""The picture of the judge: each way spoils as it says, the judge sees it, and what it says is drawn and recorded."""

import sys
from itertools import pairwise

from common import seeds
from common.figures import tile
from common.files import read_csv, read_json
from common.find import read_metrics
from common.machine import ROOT
from part2.images import Digits
from part2.judges import show_judge
from part2.judges.judge import Judge, drawn_real
from part2.judges.show_judge import EXAMPLES, WAYS, add_noise, blur, crop_corner, lose_kinds, parse_args, shift

import numpy as np
import pytest
import torch

CPU = torch.device("cpu")
WAY = {way.name: way for way in WAYS}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digits_of(images: torch.Tensor) -> Digits:
    return Digits(images, torch.arange(len(images)) % 10)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_none_leaves_images_bit_for_bit_and_some_spoils_them_within_the_pixel_range(way, mnist):
    digits = Digits(*(part[:50] for part in mnist["train"]))
    before = digits.images.clone()
    assert way.strengths[0] == 0 and torch.equal(way.spoil(digits, 0, generator()), before)
    spoiled = way.spoil(digits, way.strengths[-1], generator())
    assert spoiled.shape == before.shape and spoiled.abs().max() <= 1 + 1e-6
    assert not torch.equal(spoiled, before) and torch.equal(digits.images, before)
    assert torch.equal(spoiled, way.spoil(digits, way.strengths[-1], generator()))
    steps = np.diff(way.strengths)
    assert steps == pytest.approx(steps[0])  # examples stand below their strengths


def test_noise_has_the_deviation_that_it_says_and_is_the_same_but_stronger():
    grey = digits_of(torch.zeros(100, 1, 28, 28))
    weak, strong = (add_noise(grey, strength, generator()) for strength in (0.05, 0.1))
    assert weak.std().item() == pytest.approx(0.05 * 2, rel=0.02) and abs(weak.mean().item()) < 0.002
    torch.testing.assert_close(strong, 2 * weak)
    assert add_noise(digits_of(torch.ones(1, 1, 28, 28)), 0.4, generator()).max() == 1


def test_blur_spreads_a_point_as_a_normal_distribution():
    point = torch.zeros(1, 1, 28, 28)
    point[0, 0, 14, 10] = 1
    spread = blur(digits_of(point), 1.5, generator())[0, 0]
    assert spread.sum().item() == pytest.approx(1, abs=1e-5)
    away = torch.arange(28)
    assert (spread.sum(0) * (away - 10) ** 2).sum().item() == pytest.approx(1.5**2, rel=0.04)  # cut off at 3 σ
    assert (spread[14, 13] / spread[14, 10]).item() == pytest.approx(np.exp(-(3**2) / (2 * 1.5**2)), rel=1e-4)
    assert torch.equal(spread[12:17, 8:13], spread[12:17, 8:13].T)  # alike in all directions


def test_a_shifted_image_moves_one_of_four_ways_and_background_comes_in():
    image = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    moved = shift(digits_of(image.expand(80, 1, 3, 3)), 1, generator())
    ways = {
        "right": ((-1, 1, 2), (-1, 4, 5), (-1, 7, 8)),
        "left": ((2, 3, -1), (5, 6, -1), (8, 9, -1)),
        "down": ((-1, -1, -1), (1, 2, 3), (4, 5, 6)),
        "up": ((4, 5, 6), (7, 8, 9), (-1, -1, -1)),
    }
    found = [tuple(map(tuple, one.tolist())) for one in moved[:, 0]]
    assert set(found) == set(ways.values()) and min(map(found.count, set(found))) > 8
    farther = shift(digits_of(image.expand(80, 1, 3, 3)), 2, generator())
    assert {-1.0, 1.0, 4.0, 7.0} == set(farther[moved[:, 0, 1, 1] == 4].unique().tolist())  # as far again to the right


def test_a_cropped_corner_is_background_and_all_else_stays():
    cropped = crop_corner(digits_of(torch.ones(80, 1, 6, 6)), 2, generator())
    assert (cropped == -1).sum((1, 2, 3)).tolist() == [4] * 80
    counts = (cropped[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]] == -1).sum(0)  # of each corner
    assert counts.sum() == 80 and counts.min() > 8


def test_missing_kinds_make_way_for_those_left_in_turn():
    images = torch.arange(12.0).view(12, 1, 1, 1)  # of the kinds 0 to 9, 0 and 1
    lost = lose_kinds(digits_of(images), 8, generator())
    assert lost.flatten().tolist() == [0, 1, 0, 1, 10, 11, 0, 1, 10, 11, 10, 11]
    assert lose_kinds(digits_of(images), 1, generator()).flatten().tolist() == [*range(9), 0, 10, 11]


def test_the_more_images_were_spoiled_the_farther_away_the_judge_found_them():
    rows = read_csv(ROOT / "outputs" / "report" / "part2" / "judge" / "curves.csv")
    for way in WAYS:
        found = [row for row in rows if row["way"] == way.name]
        assert [row["strength"] for row in found] == list(way.strengths)
        for name in ("frechet", "frechet_autoencoder"):
            assert all(nearer[name] < farther[name] for nearer, farther in pairwise(found[1:]))
            assert found[1][name] > 0.99 * found[0][name]  # 5 pixels of a corner are background already
    for name in ("recall", "coverage"):  # the last way: kinds of digits are missing
        assert all(more[name] > less[name] for more, less in pairwise(found))
    assert min(row["precision"] for row in found) > 0.9


def test_all_scores_are_recorded_and_drawn_over_those_of_unspoiled_images(few, tmp_path, figures, mnist, capsys):
    saved = figures(show_judge)
    flags = ["--device", "cpu", "--split", "validation", "--seed", "3", "--out_dir", str(tmp_path / "run")]
    folder, judge = show_judge.show_judge(parse_args(flags)), Judge("validation", CPU)
    unspoiled, spoiled = read_json(folder / "result.json")["unspoiled"], {}
    for row in read_metrics(folder):
        spoiled.setdefault(row.pop("way"), []).append(row)
    assert unspoiled == judge(judge.training[drawn_real(judge, 3, 200)]) and list(spoiled) == list(WAY)
    chosen = torch.randperm(len(judge.training), generator=seeds.generator(3, "real"))[:200]
    digits = Digits(judge.training[chosen], mnist["train"].labels[chosen])
    for name, rows in spoiled.items():
        assert [row.pop("strength") for row in rows] == list(WAY[name].strengths) and rows[0] == unspoiled
        assert rows[2] == judge(WAY[name].spoil(digits, WAY[name].strengths[2], seeds.generator(3, "spoil", name)))
    assert len(capsys.readouterr().out.splitlines()) == 3 + sum(len(way.strengths) for way in WAYS)

    curves, strips = saved[0].axes[:3] + saved[0].axes[6:9], saved[0].axes[3:6] + saved[0].axes[9:]
    drawn = [{line.get_label(): line.get_ydata() for line in axes.lines} for axes in curves]
    for way, lines in zip(WAYS, drawn, strict=False):
        for label, name in (("classifier", "frechet"), ("autoencoder", "frechet_autoencoder")):
            expected = [row[name] / unspoiled[name] for row in spoiled[way.name]]
            assert lines[label].tolist() == expected
    for name in ("precision", "recall", "coverage"):
        assert drawn[5][name].tolist() == [row[name] for row in spoiled["missing kinds"]]
    shown = [digits.labels.tolist().index(kind) for kind in EXAMPLES]
    for k, (way, strip) in enumerate(zip([*WAYS, WAYS[-1]], strips, strict=True)):
        rows = [way.spoil(digits, s, seeds.generator(3, "spoil", way.name))[shown] for s in way.strengths]
        seen = torch.stack([column[i] for i in (range(3) if k < 5 else range(3, 6)) for column in rows])
        assert np.array_equal(strip.images[0].get_array(), tile(seen, len(way.strengths)))
        assert strip.get_xlim() == curves[k].get_xlim()  # examples are below their strengths


class Unfit:
    """A torchvision that was built for another torch."""

    @property
    def gaussian_blur(self):
        raise RuntimeError("operator torchvision::nms does not exist")


@pytest.mark.parametrize(("installed", "words"), [(None, "is missing"), (Unfit(), "does not fit the installed torch")])
def test_without_a_torchvision_that_fits_one_line_says_what_to_install(installed, words, mistake, few, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.transforms.functional", installed)
    error = mistake(show_judge)
    assert f"torchvision {words}: pip install torch torchvision" in error


def test_test_images_are_the_default(mistake):
    assert parse_args([]).split == "test" and "--split" in mistake(show_judge, "--split", "train")
