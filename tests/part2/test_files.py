"""Images from files: every shape and range that is taken gives the same pixels, everything else is refused."""

import part2.judges.files
from common.cli import UserError
from part2.judges.files import load_images

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def digits(mnist, monkeypatch):
    """Five images and their bytes; five are enough here."""
    monkeypatch.setattr(part2.judges.files, "AT_LEAST", 5)
    images = mnist["train"].images[:5]
    return images, ((images + 1) * 127.5).round().byte().squeeze(1).numpy()


def saved(array: np.ndarray, folder):
    np.save(folder / "digits.npy", array)
    return folder / "digits.npy"


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 1, 28, 28), (5, 28, 28, 1), (5, 784)])
def test_arrays_of_every_shape_and_range_give_the_same_images(shape, digits, tmp_path):
    images, x = digits
    ranges = [x, x / 255, x / 127.5 - 1, x * 1.0, x / 254.9, x / 255 - 1e-6, 1.00001 * (x / 127.5 - 1), x * 1.0001]
    for pixels in ranges:
        found = load_images(saved(pixels.reshape(shape), tmp_path))
        assert found.shape == images.shape and (found - images).abs().max() < 1e-3 and found.abs().max() <= 1


def test_pictures_are_taken_by_name_from_folders_within_too_and_other_files_are_none(digits, tmp_path):
    images, pixels = digits
    (tmp_path / "b").mkdir()
    names = ["a.PNG", "b/1.png", "b/2.bmp", "c.png", "d.png"]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).convert("RGB" if name == "c.png" else "L").save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert (load_images(tmp_path) - images).abs().max() < 1e-5


def refusal(path) -> str:
    with pytest.raises(UserError) as error:
        load_images(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_arrays_that_cannot_be_judged_are_refused_in_one_line(digits, tmp_path):
    _, pixels = digits
    for array, words in (
        (pixels[:, :27], "uint8 of the shape (5, 27, 28); expected numbers of the shape"),
        (pixels > 3, "expected numbers of the shape"),
        (pixels[:4], "holds 4 images; judging needs at least 5"),
        (pixels * 1.0 - 3, "reach from -3 to 252; expected [0, 1]"),
        (pixels / 170, "reach from 0 to 1.5"),
        (pixels / 255 - 0.3, "reach from -0.3 to 0.7"),
        (np.full((5, 28, 28), np.nan), "reach from nan to nan"),
        (np.array([{}]), "neither a folder nor an array"),
    ):
        assert words in refusal(saved(array, tmp_path))
    (tmp_path / "digits.npy").write_bytes(b"PK\x03\x04 no zip")
    assert "neither a folder nor an array" in refusal(tmp_path / "digits.npy")
    np.savez(tmp_path / "many.npz", pixels)
    assert "several arrays" in refusal(tmp_path / "many.npz")
    assert "there is no such file or folder" in refusal(tmp_path / "nowhere")


def test_pictures_that_cannot_be_judged_are_refused_in_one_line(digits, tmp_path, monkeypatch):
    picture = Image.fromarray(digits[1][0])
    assert "holds no pictures" in refusal(tmp_path)
    (tmp_path / "a.png").write_text("text")
    assert "a.png: cannot be read as a picture" in refusal(tmp_path)
    for change, words in (
        (lambda: Image.fromarray(digits[1][0].astype(np.uint16) * 257), "has pixels of more than 8 bits (mode I;16)"),
        (lambda: (picture.putalpha(picture.copy()), picture)[1], "is transparent"),
        (lambda: picture.convert("L").resize((28, 32)), "has 28 × 32 pixels; scale"),
    ):
        change().save(tmp_path / "a.png")
        assert f"a.png: {words}" in refusal(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # a bomb is more than twice as large
    assert "a.png: cannot be read as a picture" in refusal(tmp_path)
