"""Walks through latent space: the paths, the ends, the middles, and the script as a whole."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from torch import nn

import common.runs
import part2.interpolate
import part2.networks
from common import checkpoint
from common.cli import UserError
from common.files import read_json, write_json
from part2.interpolate import draw_walk, find_ends, interpolate, lerp, parse_args, path_through, read_middles, slerp
from part2.networks import Generator

# The paths


def float64(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def points(n: int, latent_dim: int, seed: int) -> torch.Tensor:
    return torch.randn(n, latent_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_lerp_by_hand():
    walk = lerp(float64([0, 2]), float64([4, -2]), float64([0, 0.25, 0.5, 1]))
    assert walk.tolist() == [[0, 2], [1, 1], [2, 0], [4, -2]]


def test_slerp_follows_a_quarter_circle():
    walk = slerp(float64([2, 0]), float64([0, 2]), torch.linspace(0, 1, 7, dtype=torch.float64))
    expected = [[2 * math.cos(k * math.pi / 12), 2 * math.sin(k * math.pi / 12)] for k in range(7)]
    torch.testing.assert_close(walk, float64(expected), rtol=0, atol=1e-12)


@given(latent_dim=st.integers(2, 100), steps=st.integers(2, 30), seed=st.integers(0, 1000))
def test_slerp_keeps_the_distance_from_the_origin_where_both_ends_have_it(latent_dim, steps, seed):
    z1, z2 = 3 * nn.functional.normalize(points(2, latent_dim, seed))
    walk = slerp(z1, z2, torch.linspace(0, 1, steps, dtype=torch.float64))
    torch.testing.assert_close(walk.norm(dim=1), torch.full((steps,), 3.0, dtype=torch.float64), rtol=1e-5, atol=0)


@pytest.mark.parametrize("along", [lerp, slerp])
@pytest.mark.parametrize("latent_dim", [1, 2, 100])
def test_a_walk_starts_and_ends_at_its_ends(along, latent_dim):
    z1, z2 = points(2, latent_dim, seed=1)
    walk = along(z1, z2, float64([0, 1]))
    torch.testing.assert_close(walk, torch.stack([z1, z2]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("along", [lerp, slerp])
def test_many_walks_at_once_are_the_same_as_one_by_one(along):
    starts, ends = points(3, 5, seed=1), points(3, 5, seed=2)
    alpha = torch.linspace(0, 1, 4, dtype=torch.float64)
    walks = along(starts, ends, alpha)
    assert walks.shape == (3, 4, 5)
    for walk, z1, z2 in zip(walks, starts, ends, strict=True):
        torch.testing.assert_close(walk, along(z1, z2, alpha))


def test_a_path_passes_each_station_once_and_in_order():
    stations = [float64([0, 0]), float64([2, 4]), float64([2, 0])]
    path = path_through(stations, lerp, float64([0, 0.5, 1]))
    assert path.tolist() == [[0, 0], [1, 2], [2, 4], [2, 2], [2, 0]]


@pytest.mark.parametrize("shown", [1, 3, 10])
def test_the_curves_are_drawn_and_labelled_for_each_digit_that_is_read(shown, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(part2.interpolate, "save_figure", lambda figure, path: figures.append(figure))
    probability = torch.zeros(50, 10)
    probability[torch.arange(50), torch.arange(50) % shown] = 1
    draw_walk(torch.zeros(5, 1, 28, 28), probability[:5], probability, tmp_path / "walk.png")
    row, curves = figures[0].axes
    assert [text.get_text() for text in curves.texts] == [str(digit) for digit in range(shown)]
    assert [label.get_text() for label in row.get_xticklabels()] == [f"{k % shown}\n100 %" for k in range(5)]
    for digit, line in enumerate(curves.lines):
        assert line.get_xdata()[[0, -1]].tolist() == [0, 4]  # from the first image to the last
        assert line.get_ydata().tolist() == (100 * probability[:, digit]).tolist()


@pytest.mark.parametrize("factor", [1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slerp_of_parallel_vectors_is_the_straight_line(factor, dtype):
    """There is no arc between them: sin Ω would be 0."""
    z, alpha = points(1, 100, seed=0)[0].to(dtype), torch.linspace(0, 1, 5, dtype=dtype)
    torch.testing.assert_close(slerp(z, factor * z, alpha), lerp(z, factor * z, alpha), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [-1.0, -2.0])
def test_slerp_of_opposite_vectors_goes_no_further_out_than_its_ends(factor):
    """As all pairs of other signs are where the latent dimension is 1."""
    z = points(1, 10, seed=0)[0]
    walk = slerp(z, factor * z, torch.linspace(0, 1, 11, dtype=torch.float64))
    assert walk.norm(dim=1).max() <= abs(factor) * z.norm() * (1 + 1e-6)


# The ends and the middles. Stubs: the image is z itself, and what is read is the image, ten probabilities.

IMAGE = nn.Identity()
READER = SimpleNamespace(read=lambda images: images)


def reading(**shares: float) -> torch.Tensor:
    """Ten probabilities: reading(d3=0.8, d4=0.2)."""
    probability = torch.zeros(10)
    for name, share in shares.items():
        probability[int(name[1:])] = share
    return probability


def ends_among(probability: torch.Tensor, *digits: int) -> dict[int, list[int]]:
    """Which points find_ends takes for each digit, by number."""
    numbers = torch.arange(len(probability)).float().unsqueeze(1)
    return {digit: points.flatten().tolist() for digit, points in find_ends(numbers, probability, list(digits)).items()}


def test_ends_are_all_points_that_are_read_confidently():
    probability = torch.stack([reading(d3=0.94, d1=0.06), reading(d3=0.96), reading(d4=1), reading(d3=0.99)])
    assert ends_among(probability, 3, 4, 3) == {3: [1, 3], 4: [2]}


def test_without_a_confident_point_the_surest_one_is_the_end():
    probability = torch.stack(
        [reading(d3=0.6, d1=0.4), reading(d3=0.7, d1=0.3), reading(d3=0.5, d1=0.5), reading(d1=1)]
    )
    assert ends_among(probability, 3) == {3: [1]}


def test_an_end_is_always_read_as_its_digit():
    """The first point has the higher probability of a 3, but is read as an 8."""
    probability = torch.stack([reading(d3=0.48, d8=0.52), reading(d3=0.4, d1=0.3, d2=0.3)])
    assert ends_among(probability, 3) == {3: [1]}


def test_a_digit_that_is_never_read_is_a_user_error():
    probability = torch.stack([reading(d3=0.48, d8=0.52), reading(d1=1)])
    with pytest.raises(UserError, match="--digits 3: the classifier reads none of 2 images as a 3"):
        ends_among(probability, 1, 3)


def test_middles_are_counted_by_hand():
    """Of three walks from a 3 to a 4, two pass a 7 and one stays a 3."""
    starts = torch.stack([reading(d3=0.4, d7=0.6), reading(d3=0.4, d7=0.6), reading(d3=1)])
    ends = reading(d4=0.4, d7=0.6).repeat(3, 1)
    shares = read_middles(IMAGE, READER, starts, ends, lerp, 3)
    assert list(shares)[:2] == [7, 3]  # the most frequent first
    assert shares == {digit: pytest.approx({7: 2 / 3, 3: 1 / 3}.get(digit, 0)) for digit in range(10)}


@settings(max_examples=20)
@given(n_starts=st.integers(1, 9), n_ends=st.integers(1, 9), n=st.integers(1, 200))
def test_shares_of_the_middles_sum_to_one(n_starts, n_ends, n):
    starts, ends = points(n_starts, 10, seed=1), points(n_ends, 10, seed=2)
    shares = read_middles(IMAGE, READER, starts, ends, slerp, n)
    assert sum(shares.values()) == pytest.approx(1)
    assert sorted(shares.values(), reverse=True) == list(shares.values())


@given(n_starts=st.integers(1, 9), n_ends=st.integers(1, 9), n=st.integers(1, 100))
def test_no_pair_of_ends_is_walked_twice_before_every_pair_was_walked(n_starts, n_ends, n):
    pairs = []

    def note(z1, z2, alpha):
        pairs.extend(zip(z1[:, 0].tolist(), z2[:, 0].tolist(), strict=True))
        return lerp(z1, z2, alpha)

    starts, ends = (torch.arange(m).float()[:, None].expand(m, 10) for m in (n_starts, n_ends))
    read_middles(IMAGE, READER, starts, ends, note, n)
    assert len(pairs) == n
    assert len(set(pairs)) == min(n, n_starts * n_ends)


# The script


class StubClassifier(nn.Module):
    """Reads every digit somewhere: a steep random map of the pixels."""

    def read(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.flatten(1) - images.flatten(1).mean(1, keepdim=True)
        return (pixels @ torch.randn(784, 10, generator=torch.Generator().manual_seed(0)) * 10).softmax(1)


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    """A run's folder with an untrained generator, its weights enlarged so that its images differ."""
    folder = tmp_path_factory.mktemp("gan")
    torch.manual_seed(0)
    enlarged = {name: 3 * value for name, value in Generator(8).state_dict().items()}
    content = {"latent_dim": 8, "generator": enlarged, "average": None}
    checkpoint.save(folder / "checkpoint.pt", "GAN", content)
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Few draws, the stub classifier, and an outputs/ of its own."""
    monkeypatch.setattr(part2.interpolate, "load_classifier", StubClassifier)
    monkeypatch.setattr(part2.interpolate, "DRAWS", 500)
    monkeypatch.setattr(common.runs, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setattr(part2.networks, "PRETRAINED", tmp_path / "outputs" / "pretrained")


def walk(folder, *flags: str):
    return interpolate(parse_args(["--device", "cpu", "--walks", "20", "--out_dir", str(folder), *flags]))


@pytest.mark.parametrize("mode", ["linear", "slerp"])
def test_a_walk_shows_and_records_every_image(tmp_path, gan, mode):
    folder = walk(tmp_path / "walk", "--checkpoint", str(gan), "--digits", *"932", "--steps", "4", "--mode", mode)
    result = read_json(folder / "result.json")
    assert len(result["shares"]) == 10 and sum(result["shares"]) == pytest.approx(1)
    assert 0 < result["confident"] <= 1
    (found,) = result["walks"]
    assert found["digits"] == [9, 3, 2]
    assert len(found["reads"]) == len(found["confidence"]) == 2 * (4 - 1) + 1  # the station in the middle once
    assert [found["reads"][k] for k in (0, 3, 6)] == [9, 3, 2]
    assert all(0.1 <= sure <= 1 for sure in found["confidence"])
    assert found["middles"].keys() == {"9-3", "3-2"}
    assert all(sum(shares.values()) == pytest.approx(1) for shares in found["middles"].values())
    with Image.open(folder / "walk-9-3-2.png") as picture, Image.open(folder / "walk-9-3-2.gif") as animation:
        assert picture.width > 7 * 28
        assert animation.n_frames == 7 + 5  # there and back
        assert animation.size == (28 * 6, 28 * 6)


def test_without_digits_the_assignments_walks_are_made(tmp_path, gan):
    folder = walk(tmp_path / "walk", "--checkpoint", str(gan / "checkpoint.pt"), "--steps", "2")
    assert [found["digits"] for found in read_json(folder / "result.json")["walks"]] == [[3, 4], [9, 3, 2]]
    assert {path.name for path in folder.glob("walk-*")} == {
        f"walk-{digits}.{kind}" for digits in ("3-4", "9-3-2") for kind in ("png", "gif")
    }


def test_a_digit_visited_twice_is_drawn_another_way(tmp_path, gan):
    folder = walk(tmp_path / "walk", "--checkpoint", str(gan), "--digits", "3", "4", "3", "--steps", "2")
    with Image.open(folder / "walk-3-4-3.gif") as animation:
        frames = [np.asarray(frame.convert("L")).astype(int) for frame in ImageSequence.Iterator(animation)]
    assert len(frames) == 3 + 1
    assert abs(frames[0] - frames[2]).max() > 50


def test_same_seed_same_walk_another_seed_another(tmp_path, gan):
    def files(name: str, seed: str) -> list[bytes]:
        folder = walk(tmp_path / name, "--checkpoint", str(gan), "--digits", "3", "4", "--steps", "3", "--seed", seed)
        return [(folder / f).read_bytes() for f in ("walk-3-4.png", "walk-3-4.gif", "result.json")]

    first = files("a", "0")
    assert files("b", "0") == first
    assert all(x != y for x, y in zip(files("c", "1"), first, strict=True))


def finished_gan(folder, gan, started: str, script: str = "part2/train_gan.py", finished: bool = True) -> None:
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes((gan / "checkpoint.pt").read_bytes())
    write_json(folder / "config.json", {"script": script, "started": started})
    if finished:
        write_json(folder / "result.json", {})


def test_the_newest_finished_run_is_taken_else_the_pretrained_generator(tmp_path, gan):
    outputs = tmp_path / "outputs"
    finished_gan(outputs / "pretrained" / "generator", gan, "2030-01-01T00:00:00+00:00")

    def source(name: str) -> str:
        folder = walk(tmp_path / name, "--digits", "3", "4", "--steps", "2")
        return read_json(folder / "result.json")["checkpoint"]

    assert source("a") == str(outputs / "pretrained/generator/checkpoint.pt")
    finished_gan(outputs / "part2" / "z-old", gan, "2026-01-01T00:00:00+00:00")
    finished_gan(outputs / "part2" / "a-new", gan, "2026-02-01T00:00:00+00:00")
    finished_gan(outputs / "part2" / "running", gan, "2026-03-01T00:00:00+00:00", finished=False)
    finished_gan(outputs / "part2" / "walks", gan, "2026-03-02T00:00:00+00:00", script="part2/interpolate.py")
    assert source("b") == str(outputs / "part2/a-new/checkpoint.pt")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--digits", "3"], "argument --digits: a walk needs two digits or more"),
        (["--digits", "3", "10"], "argument --digits: 10 is not between 0 and 9"),
        (["--digits"], "argument --digits: expected at least one argument"),
        (["--mode", "cubic"], "argument --mode: invalid choice: 'cubic'"),
        (["--steps", "1"], "argument --steps: 1 is not between 2 and"),
        (["--walks", "0"], "argument --walks: 0 is not between 1 and"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_flag(tmp_path, answer, flags, message):
    status, _, error = answer(part2.interpolate, *flags)
    assert status == 2
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_and_a_foreign_checkpoint_are_refused_and_nothing_is_written(tmp_path):
    checkpoint.save(tmp_path / "lstm.pt", "palindrome network", {})
    (tmp_path / "empty").mkdir()
    for name, message in [
        ("none.pt", "no such"),
        ("empty", "checkpoint.pt: there is no such"),
        ("lstm.pt", "not a GAN"),
    ]:
        with pytest.raises(UserError, match=message):
            walk(tmp_path / "walk", "--checkpoint", str(tmp_path / name))
    assert not (tmp_path / "walk").exists()


def test_the_script_answers_a_missing_checkpoint_with_one_line_and_status_2(tmp_path, answer):
    none = tmp_path / "none.pt"
    status, _, error = answer(part2.interpolate, "--checkpoint", none, "--out_dir", tmp_path / "walk")
    assert (status, error) == (2, f"interpolate.py: error: {none}: there is no such checkpoint\n")
