"""The plug-in for Adobe Lightroom, run by Lua 5.1 against a stand-in for Lightroom's SDK: nobody
here has Lightroom. And `protocols --lightroom`, which puts it where a user wants it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageCms

from hdrnet_bench.errors import UsageError
from hdrnet_bench.prepare import lightroom
from hdrnet_bench.prepare.protocol_models import FiveKProtocol
from hdrnet_bench.prepare.protocols import all_protocols, load_protocol
from tests.conftest import ROOT, Workspace
from tests.file_server import serve
from tests.fivek_server import NAMES, make_fivek, write_source

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

lupa = pytest.importorskip("lupa.lua51", reason="lupa, which has Lua 5.1, is not installed")

PLUGIN = ROOT / "recipes/lightroom" / lightroom.PLUGIN
SDK = Path(__file__).with_name("lightroom_sdk.lua")
FILES = sorted(path.name for path in PLUGIN.glob("*.lua"))
INPUT = "InputZeroed with ExpertC WhiteBalance"
INPUTS = (INPUT, "InputAsShotZeroed", "(default) Input with ExpertC WhiteBalance minus 1.5")
SUFFIX = {"JPEG": "jpg", "PNG": "png", "TIFF": "tif"}


class Lightroom:
    """A Lightroom with a catalogue open, whose user answers as the test says.

    photos: paths of the originals in every collection. preset: by its title in the dialog.
    pairs: the size of the sample, None for all.
    """

    def __init__(self, folder: Path, photos: Collection[Path], plugin: Path = PLUGIN) -> None:
        self.plugin = plugin
        self.folder: str | None = str(folder)
        names = [str(path) for path in photos]
        self.tree = catalogue(dict.fromkeys(INPUTS, names), {"C": names, "A": names})
        self.preset, self.pairs, self.button = "zeng-srgb 480p", None, "ok"
        self.agrees, self.windows = True, False
        self.faults: dict[str, str] = {}
        self.cancel_after: int | None = None
        self.kind: str | None = None  # of the files that it writes whatever is asked of it
        self.draw: Callable[[Path, Any], object] = lambda path, _: path.write_bytes(b"picture")
        self.items: dict[str, int] = {}
        self.messages: list[tuple[str, str]] = []
        self.questions: list[str] = []
        self.settings: list[dict[str, Any]] = []
        self.rendered: list[str] = []
        self.portions: list[float] = []
        self.properties: Any = None

    def export(self) -> str:
        """Library > Plug-in Extras > Export FiveK; the last message."""
        runtime = lupa.LuaRuntime(unpack_returned_tuples=True)
        load = runtime.eval("function(text, ...) return assert(loadstring(text, '=sdk'))(...) end")

        def table(value: Any) -> Any:
            if isinstance(value, dict):
                return runtime.table_from({key: table(one) for key, one in value.items()})
            return runtime.table_from(map(table, value)) if isinstance(value, list) else value

        run, work = load(SDK.read_text(), self, table(self.tree))
        run("ExportFiveK.lua")
        work()
        return self.messages[-1][0] if self.messages else ""

    # What the stand-in asks and says.

    def source(self, name: str) -> str:
        return (self.plugin / name).read_text()

    def exists(self, path: str) -> str | bool:
        found = Path(path)
        return "directory" if found.is_dir() else "file" if found.exists() else False

    def create(self, path: str) -> bool:
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return True

    def is_empty(self, path: str) -> bool:
        return Path(path).is_dir() and not any(Path(path).iterdir())

    def delete(self, path: str) -> bool:
        Path(path).rmdir()  # raises for a folder that has something in it
        return True

    def move(self, source: str, target: str) -> bool | str:
        if (reason := self.faults.get(f"move {Path(target).stem}")) is not None:
            return reason
        assert not Path(target).exists()
        Path(source).rename(target)
        return True

    def item(self, title: str, value: int) -> None:
        self.items[title] = value

    def chosen(self, properties: Any) -> str:
        (properties.preset,) = (v for t, v in self.items.items() if t.startswith(self.preset + ":"))
        properties.sample = self.pairs is not None
        if self.pairs is not None:
            properties.count = self.pairs
        return self.button

    def confirmed(self, text: str) -> str:
        self.questions.append(text)
        return "ok" if self.agrees else "cancel"

    def said(self, text: str, style: str) -> None:
        self.messages.append((text, style))

    def progress(self, portion: float) -> None:
        self.portions.append(portion)

    def cancelled(self) -> bool:
        return self.cancel_after is not None and len(self.rendered) >= self.cancel_after

    def raises(self, path: str) -> bool:
        return f"raise {Path(path).stem}" in self.faults

    def forgets(self, path: str) -> bool:
        return f"forget {Path(path).stem}" in self.faults

    def render(self, settings: Any, photo: str) -> str | tuple[None, str]:
        self.settings.append(dict(settings.items()))
        stem = Path(photo).stem
        self.rendered.append(stem)
        if (reason := self.faults.get(f"render {stem}")) is not None:
            return None, reason
        folder = Path(settings.LR_export_destinationPathPrefix)
        path = folder / f"{stem}.{self.kind or SUFFIX[settings.LR_format]}"
        self.draw(path, settings)
        return str(path)


def catalogue(inputs: dict[str, list[str]], experts: dict[str, list[str]]) -> dict[str, Any]:
    """In two sets, one of them in a set; other collections around."""
    leaf: dict[str, Any] = {"sets": []}
    named = [[{"name": n, "photos": p} for n, p in side.items()] for side in (inputs, experts)]
    outer = {"name": "Experts", "collections": named[1], **leaf}
    return {
        "name": "",
        "collections": [{"name": "Quick Collection", "photos": []}],
        "sets": [
            {"name": "Inputs", "collections": named[0], **leaf},
            {"name": "All of it", "collections": [], "sets": [outer]},
            {"name": "Empty", "collections": [], **leaf},
        ],
    }


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Originals; one has no picture of FiveK's name."""
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = [folder / f"{name}.dng" for name in (*NAMES.values(), "holiday")]
    for path in paths:
        path.touch()
    return paths


@pytest.fixture
def app(tmp_path: Path, photos: list[Path]) -> Lightroom:
    return Lightroom(tmp_path / "export", photos)


def exported(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_lua_5_1_in_plain_ascii(name: str) -> None:
    text = (PLUGIN / name).read_text(encoding="ascii")
    assert max(map(len, text.splitlines())) <= 100
    lupa.LuaRuntime().eval("function(text) return assert(loadstring(text)) end")(text)


def test_lightroom_is_told_of_a_menu_item_whose_file_is_there() -> None:
    info = lupa.LuaRuntime().execute((PLUGIN / "Info.lua").read_text())
    assert info.LrSdkMinimumVersion <= info.LrSdkVersion
    (item,) = info.LrLibraryMenuItems.values()
    assert item.file in FILES
    assert info.LrPluginName
    assert f"'{info.LrToolkitIdentifier}'".encode() in lightroom._IDENTIFIER


def renderings() -> list[FiveKProtocol]:
    return [p for p in all_protocols("fivek") if isinstance(p, FiveKProtocol) and p.of_renderings]


def test_the_presets_are_those_of_the_protocols() -> None:
    assert (PLUGIN / lightroom.PRESETS).read_text() == lightroom.presets_text(
        lightroom._protocols()
    )
    presets = lupa.LuaRuntime().execute((PLUGIN / lightroom.PRESETS).read_text())
    found = {(preset.protocol, preset.size): preset for preset in presets.values()}
    wanted = {(p.name, size): p for p in renderings() for size in p.sizes}
    assert found.keys() == wanted.keys()
    for (_, size), protocol in wanted.items():
        preset, rule = found[protocol.name, size], protocol.sizes[size]
        assert (preset.edge, preset.pixels) == (rule.edge, rule.pixels)
        assert f'"{preset.input.collection}"' in protocol.input.rendering
        assert preset.xyz == (protocol.name == "zeng-xyz")
        for side, file in ((protocol.input, preset.input), (protocol.target, preset.target)):
            assert preset.xyz or file.format in side.kinds
            assert file.bit_depth == side.bit_depth
    assert next(iter(presets.values())).protocol == "zeng-srgb"


JPEG = {"LR_format": "JPEG", "LR_jpeg_quality": 1, "LR_export_colorSpace": "sRGB"}
PNG = {"LR_format": "PNG", "LR_export_bitDepth": 8, "LR_export_colorSpace": "sRGB"}
TIFF = {"LR_format": "TIFF", "LR_export_bitDepth": 8, "LR_export_colorSpace": "sRGB"}
ROMM = {"LR_format": "TIFF", "LR_export_bitDepth": 16, "LR_export_colorSpace": "ProPhotoRGB"}
SAME = {
    "LR_outputSharpeningOn": False,
    "LR_useWatermark": False,
    "LR_reimportExportedPhoto": False,
    "LR_renamingTokensOn": False,
    "LR_enableHDRDisplay": False,
    "LR_collisionHandling": "overwrite",
}


def edge(name: str, pixels: int) -> dict[str, Any]:
    return {
        "LR_size_doConstrain": True,
        "LR_size_doNotEnlarge": True,
        "LR_size_resizeType": f"{name}Edge",
        "LR_size_maxHeight": pixels,
        "LR_size_maxWidth": pixels,
        "LR_size_units": "pixels",
    }


WHOLE = {"LR_size_doConstrain": False}


@pytest.mark.parametrize(
    ("preset", "input_", "target", "size"),
    [
        ("zeng-srgb 480p", JPEG, JPEG, edge("short", 480)),
        ("zeng-srgb original", JPEG, JPEG, WHOLE),
        ("zeng-xyz 480p", ROMM, JPEG, edge("short", 480)),
        ("zeng-xyz original", ROMM, JPEG, WHOLE),
        ("dpe 512", PNG, PNG, edge("long", 512)),
        ("uegan 512p", PNG, PNG, edge("short", 512)),
        ("upe original", TIFF, TIFF, WHOLE),
        ("upe 510", TIFF, TIFF, edge("long", 510)),
        ("ltmnet 1024", PNG, PNG, edge("long", 1024)),
    ],
)
def test_each_preset_exports_with_its_settings(
    app: Lightroom, preset: str, input_: dict, target: dict, size: dict
) -> None:
    """As the papers' authors describe their exports."""
    app.preset, app.pairs = preset, 1
    assert "2 files exported" in app.export()
    folder = Path(str(app.folder)) / preset.replace(" ", "-")
    for used, file, side in zip(app.settings, (input_, target), ("input", "target"), strict=True):
        assert used.items() >= (file | size | SAME).items()
        for key in ("LR_export_bitDepth", "LR_export_colorSpace"):
            twin = {"LR_export_bitDepth": "bitDepthOthers"}.get(key, "colorSpaceNonJPEG")
            if used["LR_format"] != "JPEG":
                assert used[f"LR_export_{twin}"] == used[key]
        assert not any(key.startswith("LR_size") for key in used.keys() - (size | file).keys())
        (name,) = exported(folder / side)
        assert name == f"{NAMES['a0001']}.{SUFFIX[file['LR_format']]}"
    assert len(app.items) == sum(len(p.sizes) for p in renderings())


def test_a_sample_is_part_of_the_whole_and_what_is_there_is_kept(app: Lightroom) -> None:
    folder = Path(str(app.folder)) / "zeng-srgb-480p"
    app.pairs = 3
    said = app.export()
    assert "6 files exported, 0 were there already, 0 failed" in said
    assert "A sample: 3 of 11 pairs" in said
    first = {f"{s}/{NAMES[f'a000{n}']}.jpg" for s in ("input", "target") for n in (1, 2, 3)}
    assert exported(folder) == first | {"export.txt"}
    assert "holiday: in Inputs/" in said

    kept = folder / "input" / f"{NAMES['a0002']}.jpg"
    kept.write_bytes(b"as it was")
    (folder / "target" / f"{NAMES['a0001']}.jpg").unlink()
    app.pairs, app.rendered, app.portions = None, [], []
    said = app.export()
    assert "17 files exported, 5 were there already, 0 failed" in said
    assert "A sample" not in said
    assert kept.read_bytes() == b"as it was"
    assert len(app.rendered) == 17
    names = {f"{s}/{name}.jpg" for s in ("input", "target") for name in NAMES.values()}
    assert exported(folder) == names | {"export.txt"}
    assert not (folder / "unfinished").exists()
    assert app.portions[-1] == 1.0
    assert app.portions == sorted(app.portions)
    # And once more, when all is there.
    app.rendered = []
    assert "0 files exported, 22 were there already" in app.export()
    assert app.rendered == []


@pytest.mark.parametrize("after", [0, 1, 11, 15])
def test_cancelled_midway_it_goes_on(app: Lightroom, after: int) -> None:
    folder = Path(str(app.folder)) / "zeng-srgb-480p"
    app.cancel_after = after
    said = app.export()
    assert "Cancelled. Start again with the same folder" in said
    done = len(exported(folder / "input") | exported(folder / "target"))
    assert f"{max(0, after - 1)} files exported" in said
    assert f"{22 - max(0, after - 1)} not yet exported" in said
    # The picture that was being rendered is not among those that count.
    whole = [p for s in ("input", "target") for p in (folder / s).iterdir()]
    assert len(whole) == max(0, after - 1)
    assert done <= after
    app.cancel_after = None
    assert f"{22 - len(whole)} files exported, {len(whole)} were there" in app.export()
    names = {f"{s}/{name}.jpg" for s in ("input", "target") for name in NAMES.values()}
    assert exported(folder) == names | {"export.txt"}


def test_an_error_on_cancelling_is_no_other_end(app: Lightroom) -> None:
    def cancel(path: Path, settings: Any) -> None:
        if path.parent.name == "target":
            app.cancel_after = 0
            raise RuntimeError("cancelled")
        path.write_bytes(b"picture")

    app.draw = cancel
    said = app.export()
    assert "Cancelled. Start again with the same folder" in said
    assert "11 files exported" in said
    assert "Stopped" not in said
    assert len(app.rendered) == 12


def test_pictures_that_fail_are_named_and_tried_again(app: Lightroom) -> None:
    name = NAMES["a0004"]
    app.faults = {
        f"render {name}": "The file could not be read",
        f"forget {NAMES['a0006']}": "",
        f"move {NAMES['a0009']}": "The disk is full",
    }
    said = app.export()
    assert "16 files exported, 0 were there already, 6 failed" in said
    for side in ("input", "target"):
        assert f"a0004 ({side}): The file could not be read" in said
        assert f"a0006 ({side}): Lightroom skipped it" in said
    assert said.count("The disk is full") == 2
    assert app.messages[-1][1] == "warning"
    report = Path(str(app.folder)) / "zeng-srgb-480p/export.txt"
    assert "a0004 (input): The file could not be read" in report.read_text()
    app.faults = {}
    assert "6 files exported, 16 were there already, 0 failed" in app.export()
    assert app.messages[-1][1] == "info"


def test_what_fails_for_all_stops_it(app: Lightroom, tmp_path: Path) -> None:
    """A format that this Lightroom does not write, an error of its own, a full disk."""
    app.preset, app.kind = "uegan 512p", "jpg"
    said = app.export()
    assert "Stopped: this Lightroom wrote .jpg where .png was asked for" in said
    assert len(app.rendered) == 1
    assert not exported(Path(str(app.folder)) / "uegan-512p/input")

    app.kind, app.faults = None, {f"raise {NAMES['a0003']}": ""}
    said = app.export()
    assert "Stopped: Lightroom:" in said
    assert "out of memory" in said
    assert "2 files exported" in said
    assert "20 not yet exported" in said

    many = [tmp_path / "photos" / f"a{n:04}-x.dng" for n in range(1, 121)]
    for path in many:
        path.touch()
    other = Lightroom(tmp_path / "other", many)
    other.faults = {f"move {path.stem}": "full" for path in many[90:]}
    said = other.export()
    assert "20 pictures in a row failed" in said
    assert "90 files exported, 0 were there already, 20 failed" in said
    assert "130 not yet exported" in said
    assert "... and 10 more" in said
    assert said.count("not moved to") == 1 + 10  # the last, and the first of the list
    # One fewer, of the inputs and then of the targets, is no reason to stop.
    other.faults = {f"move {path.stem}": "full" for path in many[90:109]}
    assert "112 files exported, 90 were there already, 38 failed" in other.export()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"C": None}, ("Not in this catalogue: Experts/C.", "fivek.lrcat", "fivek_dataset.tar")),
        ({INPUT: None}, (f"Not in this catalogue: {INPUT}.",)),
        ({INPUT: None, "C": None}, (f"Not in this catalogue: {INPUT}, Experts/C.",)),
        ({"C": "c "}, ("22 files exported",)),
        ({INPUTS[2]: "C"}, ("22 files exported",)),
        ({INPUT: INPUT.lower().replace(" ", "  ")}, ("22 files exported",)),
        ({"A": "C"}, ("2 collections of this catalogue are called Experts/C", "All of it/Experts")),
    ],
)
def test_collections_are_found_or_it_is_said_which_are_not(
    app: Lightroom, change: dict[str, str | None], said: tuple[str, ...]
) -> None:
    for places in (app.tree["sets"][0]["collections"],
                   app.tree["sets"][1]["sets"][0]["collections"]):  # fmt: skip
        for entry in places:
            entry["name"] = change.get(entry["name"], entry["name"])
        places[:] = [entry for entry in places if entry["name"] is not None]
    message = app.export()
    for part in said:
        assert part in message
    assert bool(app.rendered) == ("22 files" in said[0])
    # A collection of that name in another set is another one.
    assert ("Quick Collection" in message) == ("Not in this" in said[0])


def test_a_catalogue_without_collections_is_another_one(app: Lightroom) -> None:
    app.tree = {"name": "", "collections": [], "sets": []}
    assert "It has no collection." in app.export()


def test_pictures_that_cannot_be_paired_are_left_out_and_said(
    app: Lightroom, photos: list[Path]
) -> None:
    experts = app.tree["sets"][1]["sets"][0]["collections"][0]
    experts["photos"] = [str(path) for path in photos[1:]]
    app.tree["sets"][0]["collections"][0]["photos"].append(str(photos[1]))
    photos[2].unlink()
    said = app.export()
    assert "16 files exported" in said
    assert "Left out: 5" in said
    assert "a0001: not in All of it/Experts/C" in said
    assert f"a0002: several times in Inputs/{INPUT}" in said
    assert said.count(f"a0003: its original is not there: {photos[2]}") == 1
    assert "a0002: not in" not in said
    for path in photos:
        path.unlink(missing_ok=True)
    said = app.export()
    assert "No pair can be exported.\n\nLeft out: 14\na0001: its original is" in said
    assert "Find Missing Photos" in said


def test_without_a_picture_of_fivek_nothing_is_exported_and_it_is_said_why(
    app: Lightroom, tmp_path: Path
) -> None:
    others = [tmp_path / "photos/beach.dng", tmp_path / "photos/dunes.dng"]
    inputs = app.tree["sets"][0]["collections"][0]
    experts = app.tree["sets"][1]["sets"][0]["collections"][0]
    for collection in (inputs, experts):
        collection["photos"] = [str(path) for path in others]
    said = app.export()
    assert "No pair can be exported.\n\nLeft out: 4\nbeach: in All" in said
    assert "but no picture of FiveK" in said
    assert "Find Missing Photos" not in said, "no original is missing"
    for collection in (inputs, experts):
        collection["photos"] = []
    assert app.export().endswith("\nNo pair can be exported: the collections are empty.")


def test_ids_are_read_as_hdrbench_reads_them(photos: list[Path]) -> None:
    from hdrnet_bench.prepare.sources.fivek_index import id_of

    runtime = lupa.LuaRuntime(unpack_returned_tuples=True)
    plan = runtime.execute((PLUGIN / "Plan.lua").read_text())
    for folder in ("/photos/HQa1to700/", "C:\\photos\\", ""):
        for stem in (
            "a0001-x",
            "a0001",
            "a0001x",
            "a00012",
            "a0001 (1)",
            "b0001",
            "a0001-x.y",
            "a1",
        ):
            assert plan.name(f"{folder}{stem}.dng") == (stem, id_of(stem))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"button": "cancel"}, ""),
        ({"folder": None}, ""),
        ({"agrees": False}, ""),
        ({"pairs": 0}, "whole number of pairs"),
        ({"pairs": 1.5}, "whole number of pairs"),
        ({"pairs": "many"}, "whole number of pairs"),
    ],
)
def test_nothing_is_done_before_all_is_answered(
    app: Lightroom, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    for name, value in change.items():
        setattr(app, name, value)
    message = app.export()
    assert said in message
    assert bool(message) == bool(said)
    assert not (tmp_path / "export").exists()


def test_what_would_be_done_is_shown_first(app: Lightroom) -> None:
    app.pairs = 2
    app.export()
    (question,) = app.questions
    assert f"Input: Inputs/{INPUT} as JPEG quality 100, sRGB, short edge 480 px" in question
    assert "Target: All of it/Experts/C as JPEG" in question
    assert "2 of 11 pairs: 4 files to export, 0 there already" in question
    assert str(app.folder) in question


def test_a_folder_that_cannot_be_made_is_said(app: Lightroom, tmp_path: Path) -> None:
    (tmp_path / "export").touch()
    assert "This folder cannot be made: " in app.export()
    assert app.rendered == []


def test_prophoto_is_not_taken_for_what_is_made_of_it(app: Lightroom) -> None:
    app.preset, app.pairs = "zeng-xyz 480p", 1
    said = app.export()
    assert "zeng-xyz has CIE XYZ made of them" in said
    assert "verify-export" not in said


def test_commands_are_quoted_for_their_shell(app: Lightroom, tmp_path: Path) -> None:
    app.folder = str(tmp_path / "it's here")
    app.pairs = 1
    check, command = app.export().split("\nhdrbench ")[1:]
    folders = [f"{app.folder}/zeng-srgb-480p/{side}" for side in ("input", "target")]
    same = ["--size", "480p", "--input-dir", folders[0], "--target-dir", folders[1]]
    assert shlex.split(check.splitlines()[0]) == ["verify-export", "zeng-srgb", *same]
    way = ["prepare", "fivek", "--protocol", "zeng-srgb"]
    assert shlex.split(command.splitlines()[0]) == [*way, *same]
    app.windows = True
    command = app.export().split("When all is exported:\n")[1].splitlines()[0]
    assert command.endswith(f'"{app.folder}/zeng-srgb-480p/target"')


def test_what_is_exported_is_what_prepare_takes(
    workspace: Workspace, tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a user's own protocols to the command that the plug-in ends with."""
    files = tmp_path / "server"
    make_fivek(files)
    monkeypatch.setenv("HDRBENCH_CACHE", str(tmp_path / "cache"))
    with serve(files) as server:
        write_source(files, server.url, workspace.path)
        workspace.json("protocols", "--lightroom", "plug-ins")
        plugin = workspace.path / "plug-ins" / lightroom.PLUGIN
        app = Lightroom(tmp_path / "my export", photos, plugin)
        app.draw = draw
        said = app.export()
        assert "short edge 48 px" in app.questions[0]
        command = shlex.split(said.split("When all is exported:\n")[1].splitlines()[0])
        assert command.pop(0) == "hdrbench"
        report = workspace.json(*command)
    assert report["pairs"] == {"train": 7, "validation": 1, "test": 2, "rejected": 0}


def draw(path: Path, settings: Any) -> None:
    """A picture of 150 x 100 in the way of the settings."""
    picture = Image.fromarray(np.full((100, 150, 3), 99, np.uint8))
    assert (settings.LR_size_doConstrain, settings.LR_size_resizeType) == (True, "shortEdge")
    edge = settings.LR_size_maxHeight
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    quality = round(100 * settings.LR_jpeg_quality)
    picture.resize((edge * 3 // 2, edge)).save(path, quality=quality, icc_profile=profile)


def test_the_plug_in_is_put_where_it_is_wanted(workspace: Workspace) -> None:
    report = workspace.json("protocols", "--lightroom", "a/b")
    folder = workspace.path / "a/b" / lightroom.PLUGIN
    assert report["plug-in"] == str(folder)
    assert len(report["presets"]) == sum(len(p.sizes) for p in renderings())
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        name: (PLUGIN / name).read_bytes() for name in FILES
    }
    done = workspace.run("protocols", "--lightroom", "a/b")
    assert "unchanged" in done.stdout
    assert "Plug-in Manager" in done.stderr

    (folder / "Run.lua").write_text("-- of another version")
    assert "--overwrite" in workspace.fails(2, "protocols", "--lightroom", "a/b")
    assert (folder / "Run.lua").read_text() == "-- of another version"
    workspace.json("protocols", "--lightroom", "a/b", "--overwrite")
    assert (folder / "Run.lua").read_bytes() == (PLUGIN / "Run.lua").read_bytes()

    assert "without NAME" in workspace.fails(2, "protocols", "upe", "--lightroom", "a")
    assert "--lightroom" in workspace.fails(2, "protocols", "--overwrite")


@pytest.mark.parametrize("what", ["file", "folder", "link", "another plug-in"])
def test_nothing_of_others_is_replaced(workspace: Workspace, what: str) -> None:
    place = workspace.path / lightroom.PLUGIN
    if what == "file":
        place.touch()
    elif what == "link":
        place.symlink_to("nowhere")
    else:
        place.mkdir()
        name = "Info.lua" if what == "another plug-in" else "notes.txt"
        (place / name).write_text("return { LrToolkitIdentifier = 'another' }")
    arguments = ("protocols", "--lightroom", ".", "--overwrite")
    assert "is not this plug-in" in workspace.fails(2, *arguments)
    assert not (workspace.path / "nowhere").exists()
    if place.is_dir() and what != "link":
        assert len(list(place.iterdir())) == 1


def test_texts_of_protocols_are_texts_in_lua() -> None:
    content = yaml.safe_load((ROOT / "recipes/protocols/fivek/upe.yaml").read_text())
    odd = 'Ex"perts\\/C]]--\n\té 1'
    content["lightroom"]["target_collection"] = odd
    text = lightroom.presets_text([FiveKProtocol.model_validate(content)])
    preset = lupa.LuaRuntime().execute(text)[1]
    assert preset.target.collection == odd
    protocol = load_protocol("fivek", "upe")
    sizes = {"../x": protocol.sizes["original"]}
    with pytest.raises(UsageError, match="must match"):
        lightroom.presets_text([protocol.model_copy(update={"sizes": sizes})])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "lightroom is given for renderings"),
        ({"input_collection": "InputAsShotZeroed"}, "input_collection is not that"),
        ({"target_collection": "Experts//C"}, "a collection has a name"),
        ({"input": {"format": "jpeg", "space": "srgb", "bit_depth": 8}}, "quality is given"),
        ({"input": {"format": "png", "space": "srgb", "bit_depth": 8, "quality": 9}}, "quality is"),
        ({"input": {"format": "png", "space": "srgb", "bit_depth": 16}}, "8 bits in srgb"),
        ({"input": {"format": "png", "space": "prophoto", "bit_depth": 8}}, "8 bits in srgb"),
        ({"target": {"format": "tiff", "space": "srgb", "bit_depth": 8}}, "none of the kinds"),
        ({"target": {"format": "jpeg", "space": "srgb", "bit_depth": 16, "quality": 9}}, "8 bits"),
    ],
)
def test_an_export_that_is_not_the_protocol_is_refused(
    change: dict[str, Any] | None, message: str
) -> None:
    content = yaml.safe_load((ROOT / "recipes/protocols/fivek/zeng-srgb.yaml").read_text())
    FiveKProtocol.model_validate(content)
    content["lightroom"] = None if change is None else content["lightroom"] | change
    with pytest.raises(ValueError, match=message):
        FiveKProtocol.model_validate(content)
    xyz = yaml.safe_load((ROOT / "recipes/protocols/fivek/zeng-xyz.yaml").read_text())
    xyz["lightroom"]["input"]["space"] = "srgb"
    with pytest.raises(ValueError, match="XYZ is made of 16-bit ProPhoto"):
        FiveKProtocol.model_validate(xyz)
