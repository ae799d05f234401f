"""Images from elsewhere: every form that is taken gives the same pixels, everything else is refused in one line."""

import gzip
import os
import struct
import urllib.request
import warnings

import part2.sources.files
from common import seeds
from common.cli import Parser, UserError
from part2.sources.files import Source, add_image_flags

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture
def digits(mnist, monkeypatch):
    """Fourteen images and their bytes; five are enough here."""
    monkeypatch.setattr(part2.sources.files, "AT_LEAST", 5)
    images = mnist["train"].images[:14]
    return images, ((images + 1) * 127.5).round().byte().squeeze(1).numpy()


def saved(array: np.ndarray, folder, name="digits.npy"):
    np.save(folder / name, array)
    return folder / name


def read(path, **how) -> torch.Tensor:
    """All images of the source, in its own order."""
    images = Source(str(path), **how).load("any", 3).images
    return images[torch.randperm(len(images), generator=seeds.generator(3, "order")).argsort()]


def refusal(path, **how) -> str:
    with pytest.raises(UserError) as error:
        read(path, **how)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("shape", [(14, 28, 28), (14, 1, 28, 28), (14, 28, 28, 1), (14, 784)])
def test_arrays_of_every_shape_order_and_range_give_the_same_images(shape, digits, tmp_path, capsys):
    images, x = digits
    ranges = {"[0, 255]": [x, x * 1.0, x * 1.0001, x.astype(">i8")], "[0, 1]": [x / 255, x / 254.9, x / 255 - 1e-6]}
    ranges["[-1, 1]"] = [x / 127.5 - 1, 1.00001 * (x / 127.5 - 1)]
    for limits, forms in ranges.items():
        for pixels in forms:
            for order in (np.ascontiguousarray, np.asfortranarray):
                found = read(saved(order(pixels.reshape(shape)), tmp_path))
                assert found.shape == images.shape and (found - images).abs().max() < 1e-3 and found.abs().max() <= 1
                assert f"any: 14 of 14 images, pixels in {limits}, light on dark: {tmp_path}" in capsys.readouterr().out
    for binary in (x > 127, (x > 127).astype(np.uint8)):  # of a byte or less: 0 and 1
        assert torch.equal(read(saved(binary.reshape(shape), tmp_path)), (images > 0) * 2.0 - 1)
    read(saved(255 - x, tmp_path))
    assert "dark on light (MNIST's are light on dark)" in capsys.readouterr().out


def test_pictures_are_taken_by_name_from_folders_within_but_not_from_hidden_ones(digits, tmp_path, capsys):
    images, pixels = digits
    names = ["a.PNG", "b/1.png", "b/2.bmp", "c.png", "d.tif", "e.gif", "f.webp", "photo.jpg"]
    for name, image in zip([*names, ".ipynb_checkpoints/a.png", "b/._1.png"], pixels[:10], strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / name, **{"lossless": True} if name == "f.webp" else {})
    exif = Image.Exif()
    exif[0x0112] = 6  # as a camera that was held upright
    Image.fromarray(pixels[7]).rotate(90).save(tmp_path / "photo.jpg", quality=100, exif=exif)
    Image.fromarray(np.stack([pixels[3], pixels[3] // 6 * 6, pixels[3]], 2)).save(tmp_path / "c.png")  # nearly grey
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "x.png").mkdir()
    found = read(tmp_path)
    assert (found[:7] - images[:7]).abs().max() < 1e-5 and (found[7] - images[7]).abs().mean() < 0.02
    assert "left out: 1 other files, 2 hidden ones\nany: 8 of 8 images" in capsys.readouterr().out


def test_what_is_no_array_of_images_is_refused(digits, tmp_path):
    _, x = digits
    for array, words in (
        (x[:, :27], "has 28 × 27 pixels, not 28 × 28; --resize scales it (cut sheets"),
        (x.reshape(14, 2, -1, 1)[..., 0, 0], "uint8 of the shape (14, 2); expected numbers of the shape"),
        (x[..., 0, 0], "uint8 of the shape (14,); expected"),
        (np.float32(3), "holds 1 images"),
        (x.astype("U"), "of the shape (14, 28, 28); expected numbers"),
        (x[:4], "holds 4 images; at least 5 are needed"),
        (x[:0], "holds 0 images"),
        (x * 1.0 - 3, "reach from -3 to 252; expected [0, 1], [-1, 1] or [0, 255]"),
        ((x / 255 - 0.1307) / 0.3081, "reach from -0.424213 to 2.82149"),
        ((x / 255 - 0.485) / 0.229, "reach from -2.1179 to 2.24891"),
        (x / 255 - 0.5, "reach from -0.5 to 0.5"),
        (x / 255 / 255, "reach from 0 to 0.00392157"),
        (x / 16, "reach from 0 to 15.9375"),
        (x / 170, "reach from 0 to 1.5"),
        (x / 255 - 0.3, "reach from -0.3 to 0.7"),
        (x * np.nan, "reach from nan to nan"),
        (np.array([{}]), "is not a folder of pictures, a .npy file"),
        (np.stack([x, x, x - x // 9], 3), "is coloured; --grey"),
    ):
        assert words in refusal(saved(array, tmp_path))
    saved(x, tmp_path)
    torch.save(x, tmp_path / "x.pt")
    np.savez(tmp_path / "x.npz", x)
    huge = struct.pack("<6s2BH", b"\x93NUMPY", 1, 0, 118)
    huge += b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 28, 28)}".ljust(117) + b"\n"
    Image.fromarray(x[0]).save(tmp_path / "x.png")
    cut = (tmp_path / "digits.npy").read_bytes()[:-1]
    for name, content in (("huge.npy", huge), ("cut.npy", cut), ("x.csv", b"1,2"), ("empty.npy", b"")):
        (tmp_path / name).write_bytes(content)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.npy")
    for path in tmp_path.glob("*"):
        words = "is no regular file" if path.name == "pipe.npy" else "is not a folder of pictures, a .npy file"
        assert path.name == "digits.npy" or words in refusal(path)
    assert "there is no such file or folder, and no such data set" in refusal(tmp_path / "nowhere")


def test_what_is_no_picture_of_an_image_is_refused(digits, tmp_path, monkeypatch):
    picture = Image.fromarray(digits[1][0])
    assert "holds no pictures" in refusal(tmp_path)
    for k in range(5):
        picture.save(tmp_path / f"{k}.png")
    bad = tmp_path / "a.png"

    def refused() -> str:
        with pytest.raises(UserError) as error:
            read(tmp_path)
        assert str(bad) in str(error.value) and "\n" not in str(error.value)
        return str(error.value)

    bad.symlink_to("nowhere")
    assert "cannot be read (No such file" in refused()
    bad.unlink()
    bad.write_text("text")
    assert "cannot be read (cannot identify image file" in refused()
    for change, words in (
        (lambda: Image.fromarray(digits[1][0].astype(np.uint16) * 257), "can be used (it has pixels of more than 8"),
        (lambda: (picture.putalpha(picture.copy()), picture)[1], "it is transparent"),
        (lambda: picture.convert("L").resize((28, 32)), "has 28 × 32 pixels, not 28 × 28"),
        (lambda: Image.merge("RGB", [*picture.convert("RGB").split()[:2], Image.new("L", (28, 28))]), "is coloured"),
    ):
        change().save(bad)
        assert words in refused()
    picture.convert("L").save(bad, save_all=True, append_images=[Image.new("L", (28, 28))])  # an animated PNG
    assert "it has several frames" in refused()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 28 * 28 - 1)  # Pillow warns, and refuses twice as many
    too_large = pytest.raises(UserError, match=r"\d\.png: is no picture that can be used \(Image size")
    with too_large, warnings.catch_warnings(action="ignore"):
        read(tmp_path)


def test_other_sizes_and_colours_are_scaled_and_made_grey_by_flags_as_pillow_does_it(tmp_path, digits):
    """Each a picture, and in an array; six colours in patches, lighter to the right."""
    rng = np.random.default_rng(0)
    colours = np.kron(rng.integers(0, 256, (6, 8, 7, 3)), np.ones((1, 5, 9, 1))).astype(np.uint8)
    colours[:, 0, 0], colours[:, 0, 1] = 0, 255
    pictures, folder = [Image.fromarray(pixels) for pixels in colours], tmp_path / "folder"
    folder.mkdir()
    for k, picture in enumerate(pictures):
        picture.save(folder / f"{k}.png")
    expected = np.stack([picture.convert("L").resize((28, 28), Image.Resampling.BILINEAR) for picture in pictures])
    for path in (folder, saved(colours, tmp_path), saved(np.moveaxis(colours, 3, 1) / 255, tmp_path, "planes.npy")):
        found = (read(path, resize=True, grey=True).squeeze(1) + 1) * 127.5
        assert (found - torch.from_numpy(expected)).abs().max() < 1.5
        with pytest.raises(UserError, match=r"is coloured; --grey"):
            read(path, resize=True)
        with pytest.raises(UserError, match=r"has 63 × 40 pixels, not 28 × 28; --resize"):
            read(path, grey=True)


def write_archive(path, array: np.ndarray) -> None:
    data = struct.pack(f">3sB{array.ndim}I", b"\0\0\x08", array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def archives(digits, mnist, tmp_path):
    """A folder as Fashion-MNIST is published, one of the files unpacked: ten images to train on, four to test."""
    labels, folder = mnist["train"].labels[:14].numpy(), tmp_path / "archives"
    folder.mkdir()
    for prefix, part in (("train", slice(10)), ("t10k", slice(10, 14))):
        write_archive(folder / f"{prefix}-images-idx3-ubyte.gz", digits[1][part])
        write_archive(folder / f"{prefix}-labels-idx1-ubyte{'.gz' if prefix == 'train' else ''}", labels[part])
    return folder


def check_archives(source: Source, digits, mnist) -> None:
    for split, part in (("train", slice(10)), ("test", slice(10, 14))):
        images, labels = source.load(split)
        assert (images - digits[0][part]).abs().max() < 1e-6
        assert labels.dtype == torch.int64 and torch.equal(labels, mnist["train"].labels[:14][part])


def test_archives_of_mnists_form_are_read_with_labels_and_test_images(archives, digits, mnist, monkeypatch):
    monkeypatch.setattr(part2.sources.files, "AT_LEAST", 4)
    for path in (archives, archives / "train-images-idx3-ubyte.gz"):
        check_archives(Source(str(path)), digits, mnist)
    write_archive(archives / "emnist-letters-train-images-idx3-ubyte", digits[1].swapaxes(1, 2))
    assert "several of emnist-letters-train-images-idx3-ubyte, train-images-idx3-ubyte; name" in refusal(archives)
    assert (read(archives / "emnist-letters-train-images-idx3-ubyte") - digits[0]).abs().max() < 1e-6
    write_archive(archives / "emnist-letters-test-images-idx3-ubyte.gz", digits[1][:4].swapaxes(1, 2))
    letters = Source(str(archives / "emnist-letters-train-images-idx3-ubyte")).load("test")
    assert (letters.images - digits[0][:4]).abs().max() < 1e-6 and letters.labels.tolist() == [-1] * 4
    write_archive(archives / "emnist-letters-train-labels-idx1-ubyte", np.arange(9))
    assert "14 images, but 9 labels" in refusal(archives / "emnist-letters-train-images-idx3-ubyte")
    path = archives / "train-images-idx3-ubyte.gz"
    for damaged in (path.read_bytes()[:-50], gzip.compress(gzip.decompress(path.read_bytes())[:-1]), b"\0\0\x0d\1"):
        path.write_bytes(damaged)
        assert "is not a folder of pictures" in refusal(path)


def test_a_data_set_by_name_is_torchvisions_and_without_a_network_that_is_one_line(
    digits, mnist, archives, tmp_path, monkeypatch
):
    monkeypatch.setattr(part2.sources.files, "AT_LEAST", 4)
    monkeypatch.setattr(part2.sources.files, "ROOT", tmp_path)
    monkeypatch.setattr(urllib.request, "urlopen", None)
    with pytest.raises(UserError, match=r"--images KMNIST: torchvision cannot load it .*, name a folder"):
        read("KMNIST")
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in archives.iterdir():
        data = path.read_bytes()
        (raw / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(data) if path.suffix else data)
        (raw / path.name).write_bytes(data)
    check_archives(Source("FashionMNIST"), digits, mnist)


def test_images_without_test_images_give_a_seventh_of_them_at_random_and_no_more_than_are_used(
    digits, tmp_path, monkeypatch
):
    images, x = digits
    source = Source(str(saved(x, tmp_path)))
    (train, labels), test = source.load("train"), source.load("test").images
    position = {image.numpy().tobytes(): k for k, image in enumerate(images)}
    which = [[position[image.numpy().tobytes()] for image in part] for part in (train, test)]
    assert (len(train), len(test), set(labels.tolist())) == (12, 2, {-1})
    assert sorted(which[0] + which[1]) == list(range(14)) and which[1] != [0, 1] != [12, 13]
    assert torch.equal(source.load("test").images, test)
    monkeypatch.setattr(part2.sources.files, "MOST", {"train": 6, "test": 1, "any": 3})
    assert [len(source.load(split).images) for split in ("train", "test", "any")] == [6, 1, 3]


def test_a_source_is_named_absolutely_and_described_with_what_it_holds(digits, mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    parser = Parser("")
    add_image_flags(parser, "train on these")
    for typed, meant in {
        "digits.npy": f"{tmp_path}/digits.npy",
        "~/digits": f"{tmp_path}/home/digits",
        "KMNIST": "KMNIST",
        "./KMNIST": f"{tmp_path}/KMNIST",
    }.items():
        assert parser.parse_args(["--images", typed]).images == meant
    with pytest.raises(SystemExit):
        parser.parse_args(["--images", ""])
    source, images = Source(str(saved(digits[1], tmp_path)), grey=True), digits[0]
    described = source.describe(images)
    assert described == {**source._asdict(), "size": 14, "crc32": described["crc32"]}
    assert source.describe(images.flip(0))["crc32"] != described["crc32"]
    assert Source().describe(images) == {"name": "MNIST", "size": 14}
    assert torch.equal(Source().load("test").images, mnist["test"].images)
