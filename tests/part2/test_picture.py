"""A picture of one's own: what is like MNIST is taken as it is, what is not only by flags that say how; a photo."""

from argparse import Namespace

from common.cli import UserError
from part2.judges.networks import load_classifier
from part2.sources.picture import centre, is_light, read_picture

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image


def read(path, *flags: str, **how) -> torch.Tensor:
    return read_picture(
        str(path), Namespace(**{name: name in flags for name in ("grey", "invert", "centre", "resize")}), **how
    )


def saved(pixels: np.ndarray, path) -> str:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return str(path)


def photo(image: torch.Tensor) -> np.ndarray:
    """A digit (1, 28, 28), large and off-centre on yellowish paper under a shadow, with noise: (400, 300, 3) bytes."""
    ink, rng = torch.zeros(400, 300), np.random.default_rng(0)
    ink[120:330, 15:225] = F.interpolate((image.unsqueeze(0) + 1) / 2, (210, 210), mode="bilinear")[0, 0]
    paper = 235 - 0.3 * np.arange(300) - 0.1 * np.arange(400)[:, None]
    pixels = paper * (1 - 0.7 * ink.numpy()) + rng.normal(0, 5, (400, 300))
    return (pixels[:, :, None] * np.array([1, 0.97, 0.88])).clip(0, 255)


def test_mnist_s_own_pictures_are_taken_as_they_are_and_centring_hardly_moves_them(mnist, tmp_path, capsys):
    images = mnist["test"].images[:50]
    path = saved((images[3, 0].numpy() + 1) * 127.5 + 0.5, tmp_path / "a.png")
    assert (read(path) - images[3:4]).abs().max() < 1e-5
    assert capsys.readouterr().out == f"{path}: light on dark, 28 × 28 pixels; taken as it is\n"
    moved = torch.stack([(centre(image.unsqueeze(0)) - image).norm() for image in images])
    assert moved.median() < 4 and images.flatten(1).add(1).norm(dim=1).min() > 8


def test_a_photo_is_read_as_the_digit_that_was_written(mnist, tmp_path, capsys):
    images, found = mnist["test"].images[:20], []
    for image in images:
        path = saved(photo(image), tmp_path / "photo.jpg")
        found.append(read(path, "grey", "invert", "centre"))
        assert capsys.readouterr().out.endswith("dark on light, 300 × 400 pixels; --grey --invert --centre\n")
    found, classifier = torch.cat(found), load_classifier()
    assert torch.equal(classifier.read(found).argmax(1), mnist["test"].labels[:20])
    assert (found - images).flatten(1).norm(dim=1).median() < 5 and found.min() == -1 and found.max() == 1
    read(path, "grey", "invert", "resize")
    assert "MNIST's digits are 20 long about 14, 14: --centre makes it so" in capsys.readouterr().out


def test_the_digit_is_scaled_to_twenty_pixels_about_the_middle():
    """A bar of 10 × 100 pixels becomes one of 2 × 20; two thirds of a mass on the left move it to the right."""
    picture = torch.full((1, 1, 300, 200), -1.0)
    picture[..., 190:200, 90:190] = 0.2
    rows, columns = (centre(picture)[0, 0] > 0).nonzero().T
    assert (rows.unique().tolist(), columns.unique().tolist()) == ([13, 14], list(range(5, 25)))
    picture[..., 150:190, 90:110] = 0.2  # a flag at its left end
    found = (centre(picture)[0, 0] + 1) / 2
    for axis in (0, 1):
        assert (found.sum(1 - axis) @ torch.arange(28.0) / found.sum()).item() == pytest.approx(14, abs=0.6)


@pytest.mark.parametrize(
    ("change", "given", "words"),
    [
        (lambda x: 255 - x, (), "dark on light, 28 × 28 pixels; add --invert, see"),
        (lambda x: np.stack([x, x, x // 2], 2), (), "coloured, light on dark, 28 × 28 pixels; add --grey, see"),
        (lambda x: x.repeat(3, 0), ("invert",), "light on dark, 28 × 84 pixels; add --centre (or --resize), see"),
        (
            lambda x: 255 - np.stack([x, x // 2, x], 2).repeat(3, 1),
            (),
            "coloured, dark on light, 84 × 28 pixels; add --grey --invert --centre (or --resize), see",
        ),
        (lambda x: 0 * x + 200, ("grey", "invert", "centre", "resize"), "is nearly of one grey level; nothing"),
    ],
)
def test_what_is_not_like_mnist_is_refused_with_every_flag_that_is_missing(change, given, words, mnist, tmp_path):
    x = ((mnist["test"].images[0, 0].numpy() + 1) * 127.5).round()
    path = saved(change(x), tmp_path / "a.png")
    with pytest.raises(UserError) as error:
        read(path, *given)
    assert f"{path}: {words}" in str(error.value)


def test_for_training_images_that_are_dark_on_light_the_picture_becomes_so(mnist, tmp_path):
    x = mnist["test"].images[:1]
    path = saved((x[0, 0].numpy() + 1) * 127.5 + 0.5, tmp_path / "a.png")
    assert is_light(-x) and not is_light(x)
    with pytest.raises(UserError, match="light on dark, 28 × 28 pixels; add --invert"):
        read(path, onto_light=True)
    torch.testing.assert_close(read(path, "invert", onto_light=True), -x)
    torch.testing.assert_close(
        read(saved((1 - x[0, 0].numpy()) * 127.5 + 0.5, tmp_path / "b.png"), onto_light=True), -x
    )


def test_a_file_that_is_no_picture_is_one_line(tmp_path):
    (tmp_path / "a.png").write_text("text")
    for name, words in (("a.png", "cannot identify image"), ("b.png", "No such file")):
        with pytest.raises(UserError, match=words):
            read(tmp_path / name)
