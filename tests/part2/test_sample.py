"""sample.py: images as files, which are read back as they are; one digit by what a classifier reads."""

import part2.sample
from common.figures import tile
from common.files import read_json
from common.find import PRETRAINED
from part2.evaluate import evaluate
from part2.evaluate import parse_args as parse_evaluate
from part2.judges.judge import Judge, sample
from part2.judges.networks import load_classifier
from part2.networks.trained import load_generator
from part2.sample import parse_args, write_images
from tests.tiny_runs import files_of

import numpy as np
import pytest
import torch
from PIL import Image

OF = ["--run", str(PRETRAINED / "generator"), "--device", "cpu"]


def start(folder, *flags):
    return write_images(parse_args([*OF, "--out_dir", str(folder), *map(str, flags)]))


def test_pictures_and_an_array_hold_the_images_that_are_judged_and_are_read_back_to_the_same_scores(few, tmp_path):
    flags = ["--n", 120, "--seed", 4]
    pictures, array = start(tmp_path / "a", *flags), start(tmp_path / "b", *flags, "--npy")
    images = sample(load_generator(PRETRAINED / "generator"), 4, 120)
    pixels = np.load(array / "images.npy")
    assert (pixels.dtype, pixels.shape) == (np.uint8, (120, 28, 28))
    assert (torch.from_numpy(pixels) / 127.5 - 1 - images.squeeze(1)).abs().max() <= 1 / 255 + 1e-6
    names = [path.name for path in sorted((pictures / "images").iterdir())]
    assert names == [f"{k:05d}.png" for k in range(120)]
    assert all(np.array_equal(Image.open(pictures / "images" / name), p) for name, p in zip(names, pixels, strict=True))
    for folder in (pictures, array):
        with Image.open(folder / "sheet.png") as sheet:
            assert np.array_equal(np.asarray(sheet)[::2, ::2], tile(images[:100], 10))
        assert read_json(folder / "result.json")["images"] == 120
    scores = []
    for name, source in {"c": pictures / "images", "d": array / "images.npy"}.items():
        flags = ["--images", str(source), "--device", "cpu", "--out_dir", str(tmp_path / name)]
        scores.append(read_json(evaluate(parse_evaluate(flags)) / "result.json"))
    assert scores[0]["generated"] == scores[1]["generated"]
    before = Judge("test", torch.device("cpu"))(images)["frechet"]  # rounded to 256 grey values since
    assert scores[0]["generated"]["frechet"] == pytest.approx(before, rel=0.01)


def test_a_digit_is_drawn_until_as_many_are_read_as_it_with_confidence(tmp_path):
    pixels = np.load(start(tmp_path / "run", "--n", 150, "--digit", 7, "--npy") / "images.npy")
    probability = load_classifier().read(torch.from_numpy(pixels).unsqueeze(1) / 127.5 - 1)
    assert len(pixels) == 150 == len(np.unique(pixels, axis=0)) and probability[:, 7].min() > 0.9


def test_what_cannot_be_drawn_or_would_be_written_over_is_one_line(mistake, tmp_path, monkeypatch):
    monkeypatch.setattr(part2.sample, "CONFIDENT", 1.1)
    said = mistake(part2.sample, *OF, "--digit", 7)
    assert "--digit 7: the classifier reads only 0 of 20,000 images as a 7 with confidence" in said
    folder = start(tmp_path / "run", "--n", 2)
    before = files_of(folder)
    assert "already holds a run" in mistake(part2.sample, *OF, "--n", 2, "--out_dir", folder)
    assert files_of(folder) == before
