"""The shipped protocols, and the identities between the published lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdrnet_bench.data.manifest import SPLITS
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.files import sha256_file
from hdrnet_bench.prepare import protocols
from hdrnet_bench.prepare.fetch.cached import cached_content
from hdrnet_bench.prepare.protocols import Protocol, Unrunnable, all_protocols, load_source
from tests.conftest import ROOT, Workspace

LISTS = ROOT.parent / "shared/data/splits"
KNOWN = {
    "as-shot-zeroed", "csrnet", "dpe", "hwang", "libraw", "ltmnet", "uegan", "upe", "zeng-srgb",
    "zeng-xyz",
}  # fmt: skip
NUMBERS = {f"a{n:04}": n for n in range(1, 5001)}
PUBLISHED = {
    "adaint-test": "fivek_dpe498_test.txt",
    "adaint-train": "fivek_dpe498_train.txt",
    "adaint-train-input": "fivek_dpe498_train_input.txt",
    "adaint-train-label": "fivek_dpe498_train_label.txt",
}


def test_every_protocol_is_listed_and_says_what_it_needs(workspace: Workspace) -> None:
    rows = workspace.json("recipes", "--protocols")
    fivek = {row["protocol"]: row for row in rows if row["source"] == "fivek"}
    assert set(fivek) == KNOWN
    assert {row["protocol"] for row in rows if row["source"] == "hdrplus"} == {
        "hdrnet",
        "linear-srgb",
    }
    ppr10k = {row["protocol"]: row for row in rows if row["source"] == "ppr10k"}
    assert {name: row["runnable"] for name, row in ppr10k.items()} == {
        "360p": True,
        "360p-plain": True,
        "raw": False,
    }
    assert ppr10k["360p"]["splits"]["validation"] == "5% of the training groups, by hash"
    assert {name for name, row in fivek.items() if not row["runnable"]} == {"csrnet", "hwang"}
    for row in fivek.values():
        assert row["needs"] if row["runnable"] else row["reason"]
    assert "Lightroom" in fivek["upe"]["needs"]
    output = workspace.run("recipes", "--protocols", "zeng-srgb").stdout
    for part in (
        "short edge 480",
        "adaint-test",
        "5678851339",
        "d2f95947",
        "InputZeroed",
        "24.66",
        "AdaInt",
        "jpeg",
    ):
        assert part in output
    assert "unknown protocol" in workspace.fails(2, "recipes", "--protocols", "zen")


def test_the_whole_test_split_is_known_without_the_pictures() -> None:
    assert protocols.whole_test_split("zeng-srgb") == 498, "of a list"
    for unknown in ("hwang", "hdrnet", "retouch", "unheard-of"):
        assert protocols.whole_test_split(unknown) is None


def test_splits_by_number_are_complete() -> None:
    source = load_source("fivek")
    counts = {}
    for name in ("upe", "uegan", "ltmnet"):
        protocol = protocols.load_protocol("fivek", name)
        chosen = list(protocols.splits(protocol, source, NUMBERS).values())
        counts[name] = [chosen.count(split) for split in SPLITS]
    assert counts == {
        "upe": [4275, 225, 500],
        "uegan": [4275, 225, 500],
        "ltmnet": [1000, 100, 499],
    }
    for name, of in counts.items():
        assert protocols.whole_test_split(name) == of[2]
    protocol = protocols.load_protocol("fivek", "ltmnet")
    chosen = protocols.splits(protocol, source, NUMBERS)
    edges = ("a0001", "a0002", "a0101", "a0102", "a1101", "a1102", "a4501", "a4502", "a5000")
    assert [chosen.get(id_) for id_ in edges] == [
        None, "validation", "validation", "train", "train", None, None, "test", "test",
    ]  # fmt: skip
    with pytest.raises(DataError, match="pictures from number"):
        protocols.splits(protocol, source, {i: n for i, n in NUMBERS.items() if n != 5000})


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The published lists, put where fetching would have put them."""
    if not LISTS.is_dir():
        pytest.skip("the published split lists are not beside the checkout (shared/data/splits)")
    monkeypatch.setenv("HDRBENCH_CACHE", str(tmp_path))
    source = load_source("fivek")
    for name, file in PUBLISHED.items():
        assert sha256_file(LISTS / file) == source.lists[name].sha256
        (tmp_path / source.lists[name].sha256).write_bytes((LISTS / file).read_bytes())
    return {name: protocols.read_list(source, name) for name in PUBLISHED}


def test_identities_between_the_lists_hold(published: dict[str, list[str]]) -> None:
    test, train, shown, label = (set(published[name]) for name in PUBLISHED)
    assert len(test) == 498
    assert train == shown | label
    assert not shown & label
    assert not train & test
    assert set(NUMBERS) - train - test == {"a0160", "a2952"}


def test_splits_by_list_are_as_published(published: dict[str, list[str]]) -> None:
    source = load_source("fivek")
    for name, training in (
        ("zeng-srgb", 4500),
        ("zeng-xyz", 4500),
        ("libraw", 4500),
        ("dpe", 2250),
    ):
        protocol = protocols.load_protocol("fivek", name)
        chosen = protocols.splits(protocol, source, NUMBERS)
        found = list(chosen.values())
        validation = round(0.05 * training)
        assert [found.count(s) for s in SPLITS] == [training - validation, validation, 498], name
        assert {id_ for id_, s in chosen.items() if s == "test"} == set(published["adaint-test"])


def test_protocols_fit_their_source() -> None:
    source = load_source("fivek")
    for protocol in all_protocols("fivek"):
        if isinstance(protocol, Unrunnable):
            with pytest.raises(UsageError, match="cannot be prepared"):
                protocols.load_protocol("fivek", protocol.name)
            continue
        assert isinstance(protocol, Protocol)
        for rule in protocol.splits.values():
            if isinstance(rule, protocols.ByList):
                assert rule.list in source.lists
        for side in (protocol.input, protocol.target):
            assert side.source == "rendering" or side.source in source.files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("bit_depth: 8", "bit_depth: 10"), "input.bit_depth"),
        (("experts: [c, a, b, d, e]", "experts: []"), "experts"),
        (("  test: {list: adaint-test}\n", ""), "train and test are needed"),
        (("source: expert", "source: rendering"), "kinds are given for renderings"),
        (
            ("source: dng", "source: as_shot_zeroed"),
            "development is given where the input is a DNG",
        ),
        (("  crop: default", "  crop: default\n  bright: 2"), "bright"),
        (("{edge: short, pixels: 480}", "{edge: short}"), "an edge needs its pixels"),
        (("name: libraw", "name: other"), "must be that of its file"),
        (("version: 1", "version: one"), "version"),
    ],
)
def test_faulty_protocols_are_refused(
    workspace: Workspace, change: tuple[str, str], message: str
) -> None:
    folder = workspace.path / "recipes/protocols/fivek"
    folder.mkdir(parents=True)
    text = (ROOT / "recipes/protocols/fivek/libraw.yaml").read_text()
    assert change[0] in text
    (folder / "libraw.yaml").write_text(text.replace(change[0], change[1], 1))
    assert message in workspace.fails(2, "prepare", "fivek", "--accept-licence")


# Lists by number that others derive theirs from, under a '#' header.
EXPOSURE = (
    "https://raw.githubusercontent.com/yuanming-hu/exposure/"
    "7bb838a5f977801ed30baa194edce2b574fd4b29/data/folds"
)
EXPOSURE_SHA256 = {
    "train_idx.txt": "eff73aeaf6d3f7401c82292b1fdba96293715a04212523c88c6ff7e1ab91dcab",
    "test_idx.txt": "f0195c010cfd29424847a11a3e5e33d7e72cda8c556eedf6139b6bb278fbc9fc",
}


def test_protocols_of_renderings_are_told_without_those_that_are_faulty(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.path)
    rendered = ["dpe", "ltmnet", "uegan", "upe", "zeng-srgb", "zeng-xyz"]
    assert [one.name for one in protocols.protocols_of_renderings()] == rendered
    mine = workspace.path / "recipes/protocols/fivek/mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("name: mine\n")
    found = protocols.protocols_of_renderings(skip_faulty=True)
    assert [one.name for one in found] == rendered
    with pytest.raises(UsageError, match=r"mine\.yaml"):
        protocols.protocols_of_renderings()


def test_lists_follow_from_those_of_exposure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a network: all lists from their pinned addresses."""
    monkeypatch.setenv("HDRBENCH_CACHE", str(tmp_path))
    source = load_source("fivek")
    try:
        exposure = {
            name: [
                f"a{int(line):04}"
                for line in cached_content(f"{EXPOSURE}/{name}", sha256).decode().splitlines()
                if line.strip() and not line.startswith("#")
            ]
            for name, sha256 in EXPOSURE_SHA256.items()
        }
        lists = {name: protocols.read_list(source, name) for name in PUBLISHED}
    except DataError as error:
        pytest.skip(f"the published lists cannot be fetched here: {error}")
    train, test = exposure["train_idx.txt"], exposure["test_idx.txt"]
    assert (len(train), len(test)) == (2499, 2499)
    assert lists["adaint-train-input"] == train[:2250]
    assert lists["adaint-test"] == test[:498]
    assert set(lists["adaint-train-label"]) == {*train[2250:], *test[498:]}
