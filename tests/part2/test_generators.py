"""Which generator a script works with, and what an exported one holds."""

from common import checkpoint
from common.files import write_json
from common.runs import PRETRAINED
from part2.generators import export_networks, find_generator
from part2.networks import Discriminator, Generator, load_discriminator, load_generator
from tests.tiny_runs import differences


def leave_run(folder, started: str, script: str = "part2/train_gan.py", finished: bool = True):
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"script": script, "started": f"{started}T00:00:00+00:00"})
    if finished:
        write_json(folder / "result.json", {})
    return folder


def test_the_named_else_the_newest_finished_else_the_pretrained_is_taken_and_it_says_why(outputs, tmp_path, capsys):
    assert find_generator(None) == PRETRAINED / "generator"
    leave_run(outputs / "part2" / "z-old", "2026-01-01")
    new = leave_run(outputs / "part2" / "a-new", "2026-02-01")
    leave_run(outputs / "part2" / "running", "2026-03-01", finished=False)
    leave_run(outputs / "part2" / "walks", "2026-03-02", script="part2/interpolate.py")
    assert find_generator(None) == new
    assert find_generator(tmp_path) == tmp_path
    assert capsys.readouterr().out.splitlines() == [
        f"network: {PRETRAINED / 'generator'} (the pretrained one, as no run of part2/train_gan.py has finished in "
        "outputs/part2)",
        f"network: {new} (the newest finished run; for the pretrained one: --run outputs/pretrained/generator)",
        f"network: {tmp_path} (named by --run)",
    ]


def test_exported_are_the_generator_to_sample_from_and_the_discriminator_and_nothing_else(tmp_path):
    last, average, opponent = Generator(4, 2, 0.8, 1), Generator(4, 2, 0.8, 1), Discriminator(width=2)
    states = {"generator": last.state_dict(), "average": average.state_dict(), "progress": {"batch": 9}}
    states["discriminator"] = opponent.state_dict()
    content = {"latent_dim": 4, "width": 2, "epsilon": 0.8, "signs": 1, "recipe": {"penalty": 1}}
    checkpoint.save(tmp_path / "checkpoint.pt", "GAN", content | states)
    export_networks(tmp_path, tmp_path / "exported.pt")
    exported = checkpoint.load(tmp_path / "exported.pt", "GAN")
    assert exported.keys() == {
        "schema",
        "kind",
        "latent_dim",
        "width",
        "epsilon",
        "signs",
        "recipe",
        "generator",
        "discriminator",
    }
    assert exported["recipe"] == {"penalty": 1}
    ours, original = load_generator(tmp_path / "exported.pt"), load_generator(tmp_path)
    assert not differences(ours.state_dict(), original.state_dict())
    assert not differences(load_discriminator(tmp_path / "exported.pt").state_dict(), opponent.state_dict())
