import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.color import linear_to_srgb, srgb_to_linear
from hdrnet_bench.data.manifest import SPLITS, Dataset
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.images.pixels import pixels_sha256
from hdrnet_bench.prepare.operators import OPERATORS
from hdrnet_bench.prepare.sources import demo, folder
from hdrnet_bench.prepare.sources import synthetic_hdrplus as synthetic
from tests.conftest import ROOT, Workspace, clean_environment, smooth_picture
from tests.dng import write_dng

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

PREPARE = ["prepare", "synthetic-hdrplus"]
OWN = [*PREPARE, "--source-dir", "in", "--protocol", "mine", "--workers", "1"]


def fill(folder: Path, count: int = 4) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        write_png(folder / f"p{seed}.png", smooth_picture(seed, 60, 72))


def scene_of(path: Path) -> np.ndarray:
    return srgb_to_linear(read_picture(path).pixels.transpose(2, 0, 1) / 255.0)


def test_one_is_stored_as_32767() -> None:
    values = np.array([-0.1, 0.0, 1.0, 0.5, 65535 / 32767, 2.5, 1 / 32767, 0.4999 / 32767])
    planar = np.broadcast_to(values, (3, 1, len(values)))
    expected = [0, 0, 32767, 16384, 65535, 65535, 1, 0]
    assert synthetic.encode(planar).tolist() == [[[value] * 3 for value in expected]]


@pytest.mark.usefixtures("prepares_in_processes")
def test_the_dataset_of_a_folder_says_what_it_holds(workspace: Workspace) -> None:
    fill(workspace.path / "in")
    report = workspace.json(*OWN)
    dataset = Dataset(workspace.path / report["directory"])
    header = dataset.header
    assert report["dataset"] == "synthetic-hdrplus-mine"
    assert (header.input_encoding, header.input_white) == ("linear", 32767)
    assert header.settings["operator_version"] == OPERATORS["retouch"].version
    assert {split: len(dataset.split(split)) for split in SPLITS} == {
        "train": 2, "validation": 1, "test": 1,
    }  # fmt: skip
    for row in dataset.rows:
        assert (row.input_bit_depth, row.target_bit_depth) == (16, 8)
        assert row.source_names == [f"input/{row.id}.png"]
        stored = read_picture(dataset.input_path(row)).pixels
        camera = synthetic.Camera(*(json.loads(row.measured)[n] for n in synthetic.Camera._fields))
        assert camera == synthetic.camera_of(row.id)[0]
        assert (stored > 32767).mean() > 0.003
        # What is no highlight is as dark as it was exposed; noise has no mean.
        scene = scene_of(workspace.path / "in" / f"{row.id}.png").transpose(1, 2, 0)
        middle = (scene.max(axis=2) < 0.5 * scene.max()) & (scene.min(axis=2) > 0.02)
        assert middle.sum() > 500
        expected = scene[middle].mean() * camera.exposure
        assert stored[middle].mean() / 32767 == pytest.approx(expected, rel=0.02)
    assert workspace.run("verify", "synthetic-hdrplus-mine").returncode == 0
    assert str(workspace.path) not in (dataset.directory / "dataset.json").read_text()


@pytest.mark.parametrize("name", ["chelsea", "rocket"])
def test_demo_photographs_go_over_white_and_their_targets_do_not_clip_there(name: str) -> None:
    _, tasks = synthetic.plan_and_tasks(None, None)
    task = next(task for task in tasks if task.id == name)
    pair = synthetic.make(task.payload)
    over = pair.input.max(axis=2) > 32767
    assert 0.003 < over.mean() < 0.1
    assert pair.input.max() > 1.2 * 32767
    assert pair.input.mean() < 0.2 * 32767
    assert (pair.target[over].min(axis=1) < 255).mean() > 0.5


def test_demo_photographs_keep_their_splits() -> None:
    plan, tasks = synthetic.plan_and_tasks("local-tone-map", None)
    assert plan.name == "synthetic-hdrplus-local-tone-map"
    assert [(t.id, t.split) for t in tasks] == [(p.id, p.split) for p in demo.PHOTOGRAPHS]


@pytest.mark.parametrize("level", [0.02, 0.2, 1.0])
def test_noise_is_of_the_stated_variance(level: float) -> None:
    """Each estimate within five of its standard deviations: of a variance, sqrt(2 / n) of it."""
    camera, random = synthetic.camera_of("noise")
    clean = np.full((3, 400, 400), level)
    taken = synthetic.encode(synthetic.add_noise(clean, camera, random)) / 32767
    expected = camera.shot * level + camera.read**2
    number = 400 * 400
    for channel in range(3):
        error = taken[:, :, channel] - level
        # Rounding to 16 bits adds a twelfth of a level squared.
        variance = expected + 1 / 12 / 32767**2
        assert error.var() / variance == pytest.approx(1, abs=5 * np.sqrt(2 / number))
        assert abs(error.mean()) < 5 * np.sqrt(variance / number)
    channels = np.corrcoef(taken.reshape(-1, 3).T)
    neighbours = np.corrcoef(taken[:, 1:].ravel(), taken[:, :-1].ravel())[0, 1]
    largest = np.abs([channels[0, 1], channels[0, 2], channels[1, 2], neighbours]).max()
    assert largest < 5 / np.sqrt(number)


def test_cameras_are_within_what_the_header_says() -> None:
    plan, _ = synthetic.plan_and_tasks(None, None)
    low, high = plan.settings["stops_down"]
    cameras = [synthetic.camera_of(str(i))[0] for i in range(300)]
    assert all(2.0**-high <= c.exposure <= 2.0**-low for c in cameras)
    assert all(plan.settings["peak"][0] <= c.peak <= plan.settings["peak"][1] for c in cameras)
    gains = [c.shot / plan.settings["shot"] for c in cameras]
    assert 1 <= min(gains) < 1.1
    assert 3.7 < max(gains) <= 4
    assert [c.read / plan.settings["read"] for c in cameras] == pytest.approx(gains, rel=1e-4)
    assert len(set(cameras)) == 300


def test_exposing_is_the_stated_curve() -> None:
    """Pixel by pixel, as it is written down."""
    camera = synthetic.Camera(0.25, 1.5, 0.0, 0.0)
    scene = srgb_to_linear(smooth_picture(3, 40, 50).transpose(2, 0, 1) / 255.0)
    largest = sorted(scene.max(axis=0).ravel())
    knee, top = largest[int(0.9 * (2000 - 1))], largest[int(0.995 * (2000 - 1))]
    knee = min(knee, 0.8 * top)
    result = synthetic.expose(scene, camera)
    for y in range(40):
        for x in range(50):
            m = max(scene[:, y, x])
            t = min(max((m - knee) / (top - knee), 0), 1)
            factor = (0.25 * m + (1.5 - 0.25 * top) * t**2) / m if m else 0.25
            assert result[:, y, x] == pytest.approx(scene[:, y, x] * factor, rel=1e-12)


def test_exposing_never_falls_and_leaves_black() -> None:
    camera = synthetic.Camera(0.25, 1.5, 0.0, 0.0)
    ramp = np.broadcast_to(np.linspace(0, 1, 1000), (3, 1, 1000))
    result = synthetic.expose(ramp, camera)[0, 0]
    assert (np.diff(result) > 0).all()
    assert result[0] == 0
    assert result[:700] == pytest.approx(0.25 * ramp[0, 0, :700])
    black = np.zeros((3, 4, 4))
    assert not synthetic.expose(black, camera).any()
    # All of one brightness, as where a sky is white.
    assert synthetic.expose(black + 0.6, camera) == pytest.approx(1.5)


def test_targets_are_the_clean_picture_tone_mapped_and_rounded_once(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    job = synthetic.SyntheticJob("a", path=tmp_path / "p0.png", name="input/p0.png")
    pair = synthetic.make(job)
    clean = synthetic.expose(scene_of(tmp_path / "p0.png"), synthetic.camera_of("a")[0])
    exact = OPERATORS["retouch"].apply(linear_to_srgb(2 * clean)).transpose(1, 2, 0) * 255
    assert pair.target.dtype == np.uint8
    assert np.abs(pair.target - exact).max() <= 0.5 + 1e-9
    noise = pair.input / 32767 - clean.transpose(1, 2, 0)
    assert 0 < np.abs(noise).mean() < 0.05


def test_the_same_pixels_in_every_process(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    code = (
        "import sys; from pathlib import Path\n"
        "from hdrnet_bench.images.pixels import pixels_sha256\n"
        "from hdrnet_bench.prepare.sources.synthetic_hdrplus import SyntheticJob, make\n"
        "pair = make(SyntheticJob('a', path=Path(sys.argv[1]), name='x'))\n"
        "print(pixels_sha256(pair.input), pixels_sha256(pair.target))"
    )
    hashes = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "p0.png")],
        cwd=ROOT,
        env=clean_environment() | {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    pair = synthetic.make(synthetic.SyntheticJob("a", path=tmp_path / "p0.png", name="x"))
    assert hashes == [pixels_sha256(pair.input), pixels_sha256(pair.target)]
    other = synthetic.make(synthetic.SyntheticJob("b", path=tmp_path / "p0.png", name="x"))
    assert pixels_sha256(other.input) != hashes[0]


def test_the_random_numbers_are_the_committed_ones() -> None:
    """Other ones are another version of the source, or another stream of NumPy's."""
    camera, random = synthetic.camera_of("chelsea")
    assert camera == (0.157231, 1.71569, 0.0004563, 0.000912601)
    first = synthetic.add_noise(np.full((3, 1, 1), 0.5), camera, random).ravel()
    expected = [0.5159095918690982, 0.4945008071526648, 0.47851162194972985]
    assert first.tolist() == pytest.approx(expected, rel=1e-12)


def test_dngs_and_pictures_of_16_bits_are_scenes_too(workspace: Workspace) -> None:
    fill(workspace.path / "in", 2)
    # Blocks of one colour: detail that no demosaicing has to guess.
    blocks = np.random.default_rng(7).uniform(0.02, 0.25, (4, 6, 3))
    blocks[1, 2] = 0.4
    flat = np.kron(blocks, np.ones((16, 16, 1)))
    write_dng(workspace.path / "in/shot.DNG", flat, orientation=6)
    write_png(workspace.path / "in/shot.png", smooth_picture(9, 64, 96))  # the camera's rendition
    write_png(
        workspace.path / "in/deep.png", np.rint(linear_to_srgb(flat) * 65535).astype("uint16")
    )
    dataset = Dataset(workspace.path / workspace.json(*OWN)["directory"])
    rows = {row.id: row for row in dataset.rows}
    assert rows.keys() == {"p0", "p1", "shot", "deep"}
    assert rows["shot"].source_names == ["input/shot.DNG"]
    assert dataset.header.settings["dng"]["demosaic"] == "ahd"
    assert dataset.header.settings["folder_version"] == folder.VERSION  # which decides the ids
    for id_ in ("shot", "deep"):
        row = rows[id_]
        assert (row.width, row.height) == (96, 64)
        exposure = json.loads(row.measured)["exposure"]
        taken = read_picture(dataset.input_path(row)).pixels / 32767
        means = taken.reshape(4, 16, 6, 16, 3)[:, 4:12, :, 4:12].mean(axis=(1, 3))
        dark = blocks.max(axis=2) < np.quantile(blocks.max(axis=2), 0.8)
        assert means[dark] == pytest.approx(exposure * blocks[dark], abs=0.005)
        assert means[1, 2].min() > 1.2


def test_what_cannot_be_read_is_left_out_with_the_reason(workspace: Workspace) -> None:
    fill(workspace.path / "in", 5)
    (workspace.path / "in/p1.png").write_bytes(b"no picture")
    (workspace.path / "in/raw.dng").write_bytes(b"no raw picture")
    (workspace.path / "in/film.gif").write_bytes(b"GIF89a")
    Image.fromarray(smooth_picture(3, 60, 72)).save(
        workspace.path / "in/twin.png", compress_level=0
    )
    report = workspace.json(*OWN)
    lines = (workspace.path / report["directory"] / "rejected.jsonl").read_text().splitlines()
    rejected = {r["id"]: (r["stage"], r["reason"]) for r in map(json.loads, lines)}
    assert rejected["p1"][0] == rejected["raw"][0] == "decode"
    assert rejected["p1"][1].startswith("p1.png cannot be decoded")
    assert rejected["raw"][1].startswith("raw.dng cannot be developed")
    assert rejected["film"] == ("kind", "film.gif: .gif is not read")
    twins = rejected.keys() & {"p3", "twin"}
    assert len(twins) == 1
    assert rejected[twins.pop()][0] == "duplicate"
    assert len(rejected) == 4


def test_nothing_is_written_on_a_dry_run(workspace: Workspace) -> None:
    plan = workspace.json(*PREPARE, "--dry-run")
    assert plan["dataset"] == "synthetic-hdrplus-local-tone-map"
    assert plan["pairs"] == {"train": 6, "validation": 1, "test": 6}
    assert not (workspace.path / "data").exists()


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (2, ["--protocol", "mine"], "other names are for pictures of your own, by --source-dir"),
        (2, ["--source-dir", "in"], "needs --protocol NAME"),
        (2, ["--source-dir", "in", "--protocol", "local-tone-map"], "and not local-tone-map"),
        (2, ["--source-dir", "in", "--protocol", "Mine!"], "small letters"),
        (2, ["--source-dir", "in", "--protocol", "x" * 101], "at most 100"),
        (
            2,
            ["--source-dir", "in", "--source-dir", "in", "--protocol", "mine"],
            "give --source-dir once",
        ),
        (2, ["--input-dir", "in"], "--input-dir is not for source synthetic-hdrplus"),
        (3, ["--source-dir", "gone", "--protocol", "mine"], "there is no folder gone"),
        (3, ["--source-dir", "in", "--protocol", "mine"], "at least 3 are needed"),
    ],
)
def test_what_cannot_be_is_one_line(
    workspace: Workspace, code: int, arguments: list[str], says: str
) -> None:
    fill(workspace.path / "in", 2)
    assert says in workspace.fails(code, *PREPARE, *arguments)
    assert not (workspace.path / "data").exists()


def test_recipes_name_the_command(workspace: Workspace) -> None:
    from hdrnet_bench.recipe import DatasetSpec

    command = "hdrbench prepare synthetic-hdrplus --protocol"
    own = DatasetSpec(source="synthetic-hdrplus", protocol="mine")
    assert own.prepare_command == f"{command} mine --source-dir DIR"
    shipped = DatasetSpec(source="synthetic-hdrplus", protocol="local-tone-map")
    assert shipped.prepare_command == f"{command} local-tone-map"
