"""The picture of the judge: each way spoils as it says, the judge sees it, and what it says is drawn and recorded."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import part2.judge
from common import seeds
from common.figures import tile
from common.files import read_json
from part2 import show_judge
from part2.judge import Judge, drawn_real
from part2.mnist import Digits
from part2.show_judge import EXAMPLES, WAYS, add_noise, blur, crop_corner, lose_kinds, parse_args, shift
from tests.tiny_runs import without

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
    assert all((a[0, 0] == -1) == (b[0, 0] == -1) for a, b in zip(moved[:, 0], farther[:, 0], strict=True))
    assert {-1.0, 1.0, 4.0, 7.0} == set(farther[moved[:, 0, 1, 1] == 4].unique().tolist())  # as far again to the right


def test_a_cropped_corner_is_background_and_all_else_stays():
    cropped = crop_corner(digits_of(torch.ones(80, 1, 6, 6)), 2, generator())
    assert (cropped == -1).sum((1, 2, 3)).tolist() == [4] * 80
    corners = [
        (one[0, :2, :2].sum(), one[0, :2, -2:].sum(), one[0, -2:, :2].sum(), one[0, -2:, -2:].sum()) for one in cropped
    ]
    counts = torch.tensor(corners).eq(-4).sum(0)
    assert counts.sum() == 80 and counts.min() > 8
    larger = crop_corner(digits_of(torch.ones(80, 1, 6, 6)), 3, generator())
    assert torch.all(larger[cropped == -1] == -1) and (larger == -1).sum() == 80 * 9


def test_missing_kinds_make_way_for_those_left_in_turn():
    images = torch.arange(12.0).view(12, 1, 1, 1)  # of the kinds 0 to 9, 0 and 1
    lost = lose_kinds(digits_of(images), 8, generator())
    assert lost.flatten().tolist() == [0, 1, 0, 1, 10, 11, 0, 1, 10, 11, 10, 11]
    assert lose_kinds(digits_of(images), 1, generator()).flatten().tolist() == [*range(9), 0, 10, 11]


@pytest.fixture(scope="module")
def few_digits(mnist) -> Digits:
    return Digits(*(part[:300] for part in mnist["train"]))


@pytest.fixture(scope="module")
def judge(few_digits) -> Judge:
    """Compares with the images that are spoiled: what it sees is their spoiling alone."""
    judge = Judge("test", CPU)
    judge.real = few_digits.images
    return judge


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_the_more_images_are_spoiled_the_farther_away_the_judge_finds_them(way, few_digits, judge):
    figures = [judge(way.spoil(few_digits, strength, generator())) for strength in way.strengths]
    for name in ("frechet", "frechet_autoencoder"):
        distances = [found[name] for found in figures]
        assert distances[0] == pytest.approx(0, abs=1e-6)
        assert all(nearer < farther for nearer, farther in pairwise(distances)), distances
    if way.spoil is lose_kinds:
        assert [found["precision"] for found in figures] == [1] * len(figures)
        for name in ("recall", "coverage"):
            shares = [found[name] for found in figures]
            assert all(more > less for more, less in pairwise(shares)), shares
            assert shares[0] == 1 and shares[-1] < 0.35


def test_all_figures_are_recorded_and_drawn_over_those_of_unspoiled_images(few, tmp_path, figures, mnist, capsys):
    saved = figures(show_judge)
    flags = ["--device", "cpu", "--split", "validation", "--seed", "3", "--out_dir", str(tmp_path / "run")]
    result = without(read_json(show_judge.show_judge(parse_args(flags)) / "result.json"), "run")
    judge = Judge("validation", CPU)
    assert result["unspoiled"] == judge(judge.training[drawn_real(judge, 3, 200)])
    assert list(result["spoiled"]) == list(WAY)
    chosen = torch.randperm(len(judge.training), generator=seeds.generator(3, "real"))[:200]
    digits = Digits(judge.training[chosen], mnist["train"].labels[chosen])
    for name, rows in result["spoiled"].items():
        assert [row.pop("strength") for row in rows] == list(WAY[name].strengths) and rows[0] == result["unspoiled"]
        spoiled = WAY[name].spoil(digits, WAY[name].strengths[2], seeds.generator(3, "spoil", name))
        assert rows[2] == judge(spoiled)
    assert len(capsys.readouterr().out.splitlines()) == 3 + sum(len(way.strengths) for way in WAYS)

    curves, strips = saved[0].axes[:3] + saved[0].axes[6:9], saved[0].axes[3:6] + saved[0].axes[9:]
    drawn = [{line.get_label(): line for line in axes.lines if line.get_marker() == "o"} for axes in curves]
    for way, axes, lines in zip(WAYS, curves, drawn, strict=False):
        assert list(lines) == ["classifier", "autoencoder"] and axes.get_yscale() == "log"
        assert [line.get_ydata() for line in axes.lines if line.get_marker() != "o"] == [[1, 1]]  # real images
        for line, name in zip(lines.values(), ("frechet", "frechet_autoencoder"), strict=True):
            values = [row[name] / result["unspoiled"][name] for row in result["spoiled"][way.name]]
            assert line.get_xydata().tolist() == [list(at) for at in zip(way.strengths, values, strict=True)]
    for name, line in drawn[5].items():
        assert line.get_ydata().tolist() == [row[name] for row in result["spoiled"]["missing kinds"]]
    assert list(drawn[5]) == ["precision", "recall", "coverage"]

    shown = [digits.labels.tolist().index(kind) for kind in EXAMPLES]
    for k, (way, strip) in enumerate(zip([*WAYS, WAYS[-1]], strips, strict=True)):
        rows = [way.spoil(digits, s, seeds.generator(3, "spoil", way.name))[shown] for s in way.strengths]
        seen = torch.stack([column[i] for i in (range(3) if k < 5 else range(3, 6)) for column in rows])
        assert np.array_equal(strip.images[0].get_array(), tile(seen, len(way.strengths)))
        assert [text.get_text() for text in strip.get_xticklabels()] == [f"{s:g}" for s in way.strengths]
        left, right = strip.images[0].get_extent()[:2]
        for j, strength in enumerate(way.strengths):  # the middle of an example of 28 pixels, 30 apart
            middle = left + (right - left) * (14 + 30 * j) / strip.images[0].get_array().shape[1]
            assert middle == pytest.approx(strength, abs=1e-9)
        assert strip.get_xlim() == curves[k].get_xlim()


def test_a_mistake_is_one_line_and_nothing_is_written(mistake, few, monkeypatch):
    monkeypatch.setitem(part2.judge.EXTRACTORS, "classifier", "0" * 64)
    assert "differs from the network" in mistake(show_judge)
    assert "--split" in mistake(show_judge, "--split", "train")
