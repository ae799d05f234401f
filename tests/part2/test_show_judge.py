"""The picture of the judge: each way spoils as it says, the judge sees it, and what it says is drawn and recorded."""

from common import seeds
from common.files import read_json, read_metrics
from part2.images import Digits
from part2.judges import show_judge
from part2.judges.judge import Judge
from part2.judges.show_judge import WAYS, add_noise, blur, crop_corner, lose_kinds, parse_args, shift

import numpy as np
import pytest
import torch


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def digits_of(images: torch.Tensor) -> Digits:
    return Digits(images, torch.arange(len(images)) % 10)


@pytest.mark.parametrize("way", WAYS)
def test_none_leaves_images_bit_for_bit_and_some_spoils_them_within_the_pixel_range(way, mnist):
    spoil, strengths, _ = WAYS[way]
    digits = Digits(*(part[:50] for part in mnist["train"]))
    before, spoiled = digits.images.clone(), spoil(digits, strengths[-1], generator())
    assert spoiled.abs().max() <= 1 + 1e-6 and not torch.equal(spoiled, before) and torch.equal(digits.images, before)
    assert strengths[0] == 0 and torch.equal(spoil(digits, 0, generator()), before)
    assert np.diff(strengths, 2) == pytest.approx(0)  # evenly spaced: examples stand below their strengths


def test_noise_has_the_deviation_that_it_says_and_is_the_same_but_stronger():
    grey = digits_of(torch.zeros(100, 1, 28, 28))
    weak, strong = (add_noise(grey, strength, generator()) for strength in (0.05, 0.1))
    assert weak.std().item() == pytest.approx(0.05 * 2, rel=0.02) and abs(weak.mean().item()) < 0.002
    torch.testing.assert_close(strong, 2 * weak)


def test_blur_spreads_a_point_as_a_normal_distribution():
    point = torch.zeros(1, 1, 28, 28)
    point[0, 0, 14, 10] = 1
    spread = blur(digits_of(point), 1.5, generator())[0, 0]
    assert spread.sum().item() == pytest.approx(1, abs=1e-5)
    assert (spread.sum(0) * (torch.arange(28) - 10) ** 2).sum().item() == pytest.approx(1.5**2, rel=0.04)  # to 3 σ
    assert (spread[14, 13] / spread[14, 10]).item() == pytest.approx(np.exp(-(3**2) / (2 * 1.5**2)), rel=1e-4)
    assert torch.equal(spread[12:17, 8:13], spread[12:17, 8:13].T)  # alike in all directions


def test_a_shifted_image_moves_one_of_four_ways_and_background_comes_in():
    image = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    moved = shift(digits_of(image.expand(80, 1, 3, 3)), 1, generator())
    right, left = ((-1, 1, 2), (-1, 4, 5), (-1, 7, 8)), ((2, 3, -1), (5, 6, -1), (8, 9, -1))
    down, up = ((-1, -1, -1), (1, 2, 3), (4, 5, 6)), ((4, 5, 6), (7, 8, 9), (-1, -1, -1))
    found = [tuple(map(tuple, one.tolist())) for one in moved[:, 0]]
    assert set(found) == {right, left, down, up} and min(map(found.count, set(found))) > 8
    farther = shift(digits_of(image.expand(80, 1, 3, 3)), 2, generator())
    assert {-1.0, 1.0, 4.0, 7.0} == set(farther[moved[:, 0, 1, 1] == 4].unique().tolist())  # as far again to the right


def test_a_cropped_corner_is_background_and_all_else_stays():
    cropped = crop_corner(digits_of(torch.ones(80, 1, 6, 6)), 2, generator())
    assert (cropped == -1).sum((1, 2, 3)).tolist() == [4] * 80
    counts = (cropped[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]] == -1).sum(0)  # of each corner
    assert counts.sum() == 80 and counts.min() > 8


def test_missing_kinds_make_way_for_those_left_in_turn():
    images = torch.arange(12.0).view(12, 1, 1, 1)  # of the kinds 0 to 9, 0 and 1
    assert lose_kinds(digits_of(images), 8, None).flatten().tolist() == [0, 1, 0, 1, 10, 11, 0, 1, 10, 11, 10, 11]
    assert lose_kinds(digits_of(images), 1, None).flatten().tolist() == [*range(9), 0, 10, 11]


def test_all_scores_are_recorded_and_drawn_over_those_of_unspoiled_images(few, tmp_path, figures, mnist, monkeypatch):
    """Of each way two strengths."""
    ways = {way: (spoil, strengths[:3:2], unit) for way, (spoil, strengths, unit) in WAYS.items()}
    monkeypatch.setattr(show_judge, "WAYS", ways)
    saved, flags = figures(show_judge), "--device cpu --split validation --seed 3 --out_dir"
    folder = show_judge.show_judge(parse_args([*flags.split(), str(tmp_path / "run")]))
    judge, rows = Judge("validation", torch.device("cpu")), read_metrics(folder)
    chosen = torch.randperm(400, generator=seeds.generator(3, "real"))[:200]
    digits = Digits(mnist["train"].images[chosen], mnist["train"].labels[chosen])
    unspoiled = judge(digits.images)
    assert read_json(folder / "result.json")["unspoiled"] == unspoiled
    assert [(row["way"], row["strength"]) for row in rows] == [(way, s) for way, of in ways.items() for s in of[1]]
    for k, way in ((0, "Gaussian noise"), (3, "cropped corner")):
        spoiled = ways[way][0](digits, ways[way][1][1], seeds.generator(3, "spoil", way))
        assert rows[2 * k + 1].items() >= judge(spoiled).items() and rows[2 * k].items() >= unspoiled.items()
    drawn = {line.get_label(): list(line.get_ydata()) for k in (0, 8) for line in saved[0].axes[k].lines}
    for label, name in (("classifier", "frechet"), ("autoencoder", "frechet_autoencoder")):
        assert drawn[label] == [1, rows[1][name] / unspoiled[name]]
    for name in ("precision", "recall", "coverage"):
        assert drawn[name] == [row[name] for row in rows[-2:]]
