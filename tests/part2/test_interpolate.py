"""interpolate.py: each walk's picture, animation and record, and that every flag reaches them; the published walks."""

import part2.interpolate
import part2.networks.inverse
import part2.networks.walks
from common.figures import tile
from common.files import read_csv, read_json
from common.find import PRETRAINED
from common.machine import ROOT
from part2.interpolate import interpolate, parse_args
from part2.judges.networks import load_classifier
from part2.networks.inverse import find
from part2.networks.trained import load_generator
from part2.networks.walks import PATHS, draw_and_read, find_ends, path_through, read_middles

import numpy as np
import pytest
import torch
from PIL import Image


def start(folder, *flags) -> dict:
    of = ["--run", PRETRAINED / "generator", "--device", "cpu", "--out_dir", folder, *flags]
    return read_json(interpolate(parse_args(list(map(str, of)))) / "result.json")


@pytest.mark.parametrize("mode", PATHS)
def test_a_walk_shows_and_records_what_the_flags_ask_for(mode, figures, tmp_path, monkeypatch):
    drawn, animations = figures(part2.interpolate, is_legible=False), []
    monkeypatch.setattr(part2.interpolate, "save_animation", lambda sheets, path, scale: animations.append(sheets))
    monkeypatch.setattr(part2.networks.walks, "DRAWS", 500)
    result = start(tmp_path / "a", "--digits", *"9323", "--steps", 4, "--mode", mode, "--walks", 20, "--seed", 7)

    generator, classifier, along = load_generator(PRETRAINED / "generator"), load_classifier(), PATHS[mode]
    z, probability = draw_and_read(generator, classifier, 7)
    ends = find_ends(z, probability, [2, 3, 9])
    stations = [ends[9][0], ends[3][1], ends[2][2], ends[3][3]]  # a digit that comes twice comes in two ways
    images = generator(path_through(stations, along, torch.linspace(0, 1, 4))).detach()
    reads = classifier.read(images)
    assert result["shares"] == pytest.approx((probability.argmax(1).bincount(minlength=10) / 500).tolist())
    assert result["confident"] == pytest.approx((probability.amax(1) >= 0.95).double().mean().item())
    (walk,) = result["walks"]
    assert (walk["digits"], walk["reads"]) == ([9, 3, 2, 3], reads.argmax(1).tolist())
    assert walk["confidence"] == pytest.approx(reads.amax(1).tolist(), rel=1e-4)
    assert list(walk["middles"]) == ["9-3", "3-2", "2-3"]
    for (a, b), found in zip(((9, 3), (3, 2), (2, 3)), walk["middles"].values(), strict=True):
        expected = read_middles(generator, classifier, (ends[a], ends[b]), along, 20, 7)
        assert found == {str(digit): share for digit, share in expected.items()}

    assert np.array_equal(drawn[0].axes[0].images[0].get_array(), tile(images, 10))
    there_and_back = [*range(10), *range(8, 0, -1)]
    for frame, k in zip(animations[0], there_and_back, strict=True):
        assert np.array_equal(frame, tile(images[k : k + 1], 1))


def test_without_flags_the_published_walks_are_made_again(figures, tmp_path):
    """Of the pretrained generator: what is read all along both walks of eleven images a leg, and how surely."""
    drawn, found = figures(part2.interpolate, is_legible=False), start(tmp_path / "run", "--walks", 1)
    rows = read_csv(ROOT / "outputs" / "report" / "part2" / "interpolate" / "runs.csv")
    recorded = next(row for row in rows if row["run"] == "improved")
    assert found["confident"] == pytest.approx(recorded["confident"], abs=5e-4) and len(drawn) == 2
    for k, ours in enumerate(found["walks"]):
        assert recorded[f"walks_{k}_digits"] == " ".join(map(str, ours["digits"]))
        assert recorded[f"walks_{k}_reads"] == " ".join(map(str, ours["reads"]))
        confidence = list(map(float, recorded[f"walks_{k}_confidence"].split()))
        assert ours["confidence"] == pytest.approx(confidence, abs=1e-3)
        x, y = drawn.pop(0).axes[1].lines[0].get_data()  # 101 points a leg, a station in between once
        assert len(x) == len(y) == 1 + 100 * (len(ours["digits"]) - 1)


def test_a_digit_of_one_s_own_is_found_shown_and_walked_from(figures, mnist, tmp_path, monkeypatch, capsys):
    """To a digit and on to another picture; what is recorded is what inverse.py finds for the pictures."""
    monkeypatch.setattr(part2.networks.inverse, "STAGES", ((2, 5),))
    monkeypatch.setattr(part2.networks.walks, "DRAWS", 500)
    drawn, files = figures(part2.networks.inverse), ["a 7.png", "b.png"]
    ink = np.stack([255 - tile(image.unsqueeze(0), 1) for image in mnist["test"].images[[0, 1]]])  # on paper
    own = 1 - torch.from_numpy(ink).float().unsqueeze(1) / 127.5
    for name, pixels in zip(files, ink, strict=True):
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    result = start(tmp_path / "run", "--from", files[0], "--to", 3, files[1], "--steps", 3, "--invert", "--seed", 7)

    generator, classifier, training = load_generator(PRETRAINED / "generator"), load_classifier(), mnist["train"].images
    found = find(generator, own, training, 7)
    for k, row in enumerate(result["pictures"]):
        assert row["file"] == files[k] and row["z"] == pytest.approx(found.z[k].tolist())
        assert row["error"] == pytest.approx(found.error[k].item(), rel=1e-3)
        assert row["nearest"] == pytest.approx((training - own[k]).flatten(1).norm(dim=1).min().item(), rel=1e-4)
        for images, which in ((own, ""), (found.images, "_again")):
            probability = classifier.read(images)[k]
            assert row[f"read{which}"] == probability.argmax()
            assert row[f"confidence{which}"] == pytest.approx(probability.max().item(), rel=1e-6)
    ends = find_ends(*draw_and_read(generator, classifier, 7), [3])[3]
    z = torch.tensor([row["z"] for row in result["pictures"]])
    reads = classifier.read(generator(path_through([z[0], ends[1], z[1]], PATHS["linear"], torch.linspace(0, 1, 3))))
    (walk,) = result["walks"]
    assert (walk["digits"], walk["reads"]) == ([files[0], 3, files[1]], reads.argmax(1).tolist())
    assert list(walk["middles"]) == ["a 7.png-3", "3-b.png"] and (tmp_path / "run" / "walk-own-3-own.png").is_file()
    assert np.array_equal(drawn[0].axes[0].images[0].get_array()[:28, :28], tile(own[:1], 1))
    assert "a 7.png: dark on light, 28 × 28 pixels; --invert\n" in capsys.readouterr().out


def test_a_mistake_is_one_line_and_nothing_is_written(mistake):
    for digits in ("3", "3" * 21):
        assert "--digits: a walk needs from 2 to 20 digits" in mistake(part2.interpolate, "--digits", *digits)
    assert "the walk has 203 images, and a picture holds 200 at most" in mistake(part2.interpolate, "--steps", "102")
    assert "--steps: the walk has 201" in mistake(part2.interpolate, "--digits", *"34", "--steps", "201")
    for flags in (["--from", 3], ["--to", 3], ["--from", 3, "--to", 4, "--digits", 3, 4]):
        assert "--from: needs --to, and the other way round, and neither goes with" in mistake(
            part2.interpolate, *flags
        )
    assert "the walk has 201" in mistake(part2.interpolate, "--from", 3, "--to", *[4] * 20)
    assert "no_such.png: cannot be read" in mistake(part2.interpolate, "--from", "no_such.png", "--to", 4)
    assert (parse_args(["--digits", *"34", "--steps", "200"]).steps, parse_args([]).walks) == (200, 1000)
