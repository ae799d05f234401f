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


RANGES = [lambda x: x, lambda x: x / 255, lambda x: x / 127.5 - 1, lambda x: x * 1.0]
RANGES += [lambda x: x / 254.9, lambda x: x / 255 - 1e-6, lambda x: 1.00001 * (x / 127.5 - 1), lambda x: x * 1.0001]


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 1, 28, 28), (5, 28, 28, 1), (5, 784)])
@pytest.mark.parametrize("change", RANGES)
def test_arrays_of_every_shape_and_range_give_the_same_images(shape, change, digits, tmp_path):
    images, pixels = digits
    found = load_images(saved(change(pixels).reshape(shape), tmp_path))
    assert found.shape == images.shape and (found - images).abs().max() < 1e-3 and found.abs().max() <= 1


def test_pictures_are_taken_by_name_from_folders_within_too_and_other_files_are_none(digits, tmp_path):
    images, pixels = digits
    (tmp_path / "b").mkdir()
    names = ["a.PNG", "b/1.png", "b/2.bmp", "c.png", "d.png"]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).convert("RGB" if name == "c.png" else "L").save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert (load_images(tmp_path) - images).abs().max() < 1e-5


def test_what_cannot_be_judged_is_refused_in_one_line(digits, tmp_path, monkeypatch):
    _, pixels = digits

    def refusal(path) -> str:
        with pytest.raises(UserError) as error:
            load_images(path)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "there is no such file or folder" in refusal(tmp_path / "nowhere")
    assert "expected numbers of the shape" in refusal(saved(pixels[:, :27], tmp_path))
    assert "expected numbers of the shape" in refusal(saved(pixels > 3, tmp_path))
    assert "holds 4 images; judging needs at least 5" in refusal(saved(pixels[:4], tmp_path))
    assert "reach from -3 to 252; expected [0, 1]" in refusal(saved(pixels * 1.0 - 3, tmp_path))
    assert "reach from 0 to 1.5" in refusal(saved(pixels / 170, tmp_path))
    assert "reach from -0.3 to 0.7" in refusal(saved(pixels / 255 - 0.3, tmp_path))
    assert "reach from nan to nan" in refusal(saved(np.full((5, 28, 28), np.nan), tmp_path))
    assert "neither a folder nor an array" in refusal(saved(np.array([{}]), tmp_path))
    np.savez(tmp_path / "many.npz", pixels)
    assert "several arrays" in refusal(tmp_path / "many.npz")
    (tmp_path / "digits.npy").write_text("text")
    assert "neither a folder nor an array" in refusal(tmp_path / "digits.npy")
    (tmp_path / "digits.npy").write_bytes(b"PK\x03\x04 no zip")
    assert "neither a folder nor an array" in refusal(tmp_path / "digits.npy")
    (tmp_path / "pictures").mkdir()
    assert "holds no pictures" in refusal(tmp_path / "pictures")
    (tmp_path / "pictures" / "a.png").write_text("text")
    assert "a.png: cannot be read as a picture" in refusal(tmp_path / "pictures")
    Image.fromarray(pixels[0].astype(np.uint16) * 257).save(tmp_path / "pictures" / "a.png")
    assert "a.png: has pixels of more than 8 bits (mode I;16)" in refusal(tmp_path / "pictures")
    transparent = Image.fromarray(pixels[0])
    transparent.putalpha(Image.fromarray(pixels[0]))
    transparent.save(tmp_path / "pictures" / "a.png")
    assert "a.png: is transparent" in refusal(tmp_path / "pictures")
    Image.fromarray(np.zeros((32, 28), dtype=np.uint8)).save(tmp_path / "pictures" / "a.png")
    assert "a.png: has 28 × 32 pixels; scale" in refusal(tmp_path / "pictures")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # a bomb is more than twice as large
    assert "a.png: cannot be read as a picture" in refusal(tmp_path / "pictures")
