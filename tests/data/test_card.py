"""The dataset card: what the Hub reads of it, and what a reader is told."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard

from hdrnet_bench.data.card import card_text, is_unedited
from hdrnet_bench.data.croissant import Origin
from hdrnet_bench.data.licences import hub_licence, may_be_passed_on
from hdrnet_bench.data.manifest import Header, Row, read_header, read_rows
from tests.conftest import ROOT

LOCKS = sorted((ROOT / "manifests").glob("*.json"))
OF_LOCKS = {"bsds500-local-laplacian": "bsds500-non-commercial-research"}
HEADER, ROWS = (
    read_header(ROOT / "manifests/demo-retouch.json"),
    read_rows(ROOT / "manifests/demo-retouch.jsonl"),
)


def rows_with(**fields: Any) -> list[Row]:
    return [row.model_copy(update=fields) for row in ROWS]


def front_matter(card: str) -> dict[str, Any]:
    _, front, _ = card.split("---\n", 2)
    return yaml.safe_load(front)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_the_hub_reads_its_front_matter(path: Path) -> None:
    header = read_header(path)
    card = DatasetCard(card_text(header, read_rows(path.with_suffix(".jsonl"))))
    assert card.data.to_dict() == {
        "license": "other",
        "license_name": OF_LOCKS.get(path.stem, "each-picture-its-own"),
        "pretty_name": header.name,
        "task_categories": ["image-to-image"],
        "size_categories": ["n<1K"],
        "tags": ["hdrnet", "photo-enhancement"],
    }
    assert card.text.lstrip().startswith(f"# {header.name}\n")
    assert header.digest in card.text


@pytest.mark.parametrize(
    ("count", "category"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (9999, "1K<n<10K"), (10_000, "10K<n<100K")],
)
def test_size_categories_are_the_hubs(count: int, category: str) -> None:
    assert front_matter(card_text(HEADER, ROWS[:1] * count))["size_categories"] == [category]


@pytest.mark.parametrize(
    ("licences", "of_the_hub"),
    [
        ({"CC0-1.0"}, ("cc0-1.0", None)),
        ({"CC-BY-SA-4.0"}, ("cc-by-sa-4.0", None)),
        ({"CC-BY-SA-9.0"}, ("other", "cc-by-sa-9.0")),
        ({"not-stated"}, ("unknown", None)),
        ({"", }, ("unknown", None)),
        ({"LicenseAdobe"}, ("other", "licenseadobe")),
        ({"Ask: Me!"}, ("other", "ask-me")),
        ({"CC0-1.0", "public-domain"}, ("other", "each-picture-its-own")),
    ],
)  # fmt: skip
def test_licences_are_named_as_the_hub_does(licences: set[str], of_the_hub: tuple) -> None:
    assert hub_licence(licences) == of_the_hub


def test_whether_it_may_be_passed_on_is_said() -> None:
    for text in ("Mine", "Mine.", "Mine. "):
        stated = card_text(HEADER.model_copy(update={"licence": text}), ROWS)
        assert "Of the dataset: Mine.\n" in stated
    free, closed = (card_text(HEADER, rows_with(licence=name)) for name in ("CC0-1.0", "Mine"))
    assert "| CC0-1.0 | 13 | yes |" in free
    assert "All of them may be passed on" in free
    assert "| Mine | 13 | no |" in closed
    assert "to yourself" in closed
    assert "to yourself" not in free
    one_closed = [ROWS[0].model_copy(update={"licence": "Mine"}), *rows_with(licence="CC0-1.0")]
    assert "to yourself" in card_text(HEADER, one_closed)
    assert not may_be_passed_on("not-stated")


def test_sixteen_bits_are_warned_of_and_eight_are_not() -> None:
    for side in ("input", "target"):
        deep = card_text(HEADER, rows_with(**{f"{side}_bit_depth": 16}))
        assert "**16 bits:**" in deep
        assert 'load_dataset("imagefolder"' not in deep
    eight = card_text(HEADER, ROWS)
    assert "16" not in eight.split("## Loading")[1].split("## Licence")[0].replace("uint16", "")
    assert 'load_dataset("imagefolder", data_dir="data/demo-retouch", split="train")' in eight


def test_a_header_of_fivek_is_told_with_its_paper() -> None:
    """Its expert, its size, what was chosen of it; and a white of its own."""
    settings = {"expert": "c", "size": {"name": "480p", "pixels": 480}, "pictures": {"n": 49849849}}
    header = HEADER.model_copy(
        update={"settings": settings, "source": "fivek", "counts": {"test": 13, "rejected": 2},
                "input_encoding": "linear", "input_white": 32767}
    )  # fmt: skip
    origin = Origin(paper="A. Author: Title.")
    card = card_text(header, rows_with(split="test"), "hdrbench prepare fivek", origin)
    for line in (
        "| expert | c |",
        "| size | 480p |",
        "| pairs | train 0, validation 0, test 13, left out 2, `rejected.jsonl` says why |",
        "| colours | input linear light, sRGB primaries, 32767 is white; target sRGB |",
        'pairs = load_pairs("demo-retouch", "test")  # or the folder',
        "hdrbench prepare fivek",
        "For the photographs: A. Author: Title.",
    ):
        assert f"\n{line}\n" in card
    assert "49849849" not in card


@pytest.mark.fault("names and texts")
def test_no_text_of_others_ends_what_it_stands_in(record_property) -> None:
    """Neither the front matter, nor a cell, nor a block of code; nor does it make HTML."""
    texts = [
        *("a|b", "---", "a\n---\nlicense: mit", "x: [y", '"', "```", "\n```\n# Mine", "<b>hi</b>"),
        *("a\u2028b\x1b[31m", "-->", "#", "null", "{}", "\u202eabc", '"""\nimport os\n"""'),
    ]
    record_property("faults", len(texts))
    for text in texts:
        origin = Origin(*[text] * 9, synthetic=True)
        name = text if "/" not in text else text.replace("/", "")
        header = Header.model_validate(
            HEADER.model_dump() | {"name": name, "source": text, "protocol": text, "licence": text,
            "settings": {"expert": text, "size": {"name": text}, "part": text, "pictures": text},
            "tools": {"hdrnet-bench": text}}
        )  # fmt: skip
        card = card_text(header, rows_with(licence=text), f"prepare {text}", origin)
        front = front_matter(card)
        assert set(front) <= {"license", "license_name", "pretty_name", "task_categories",
                              "size_categories", "tags"}  # fmt: skip
        assert isinstance(front["pretty_name"], str)
        assert DatasetCard(card).data.license in ("other", "unknown")
        assert card.count("\n```") == 6
        assert [line for line in card.split("\n") if line.startswith("#")][1:] == [
            "## Loading", "## Licence", "## How it was prepared",
            "## What is known of the photographs", "## Citation"
        ]  # fmt: skip
        assert all(mark not in card for mark in "\u2028\x1b\u202e")
        body = re.sub(r"\n```.*?\n```", "", card.split("---\n", 2)[2], flags=re.DOTALL)
        assert "<b>" not in body
        for line in card.split("\n"):
            if line.startswith("| "):
                cells = line.replace(r"\|", "").count("|")
                assert cells in (3, 4), line
        code = card.split("\n```python\n")[1].split("\n```")[0]
        compile(code, "the card's example", "exec")
        assert json.dumps(name) in code
        assert is_unedited(card)


def test_the_same_dataset_has_the_same_card() -> None:
    assert card_text(HEADER, ROWS) == card_text(HEADER, ROWS[::-1])


@pytest.mark.parametrize(
    "edit",
    [
        lambda card: card + "\n",
        lambda card: card + "Mine.\n",
        lambda card: card.replace("pairs", "Pairs", 1),
        lambda card: card.replace("\n", "\r\n"),
        lambda card: "\n" + card,
        lambda card: card.rpartition("\n<!--")[0] + "\n",
        lambda card: card[:-1],
        lambda card: "",
        lambda card: "\n",
    ],
)
def test_any_edit_of_a_card_is_seen(edit) -> None:
    card = card_text(HEADER, ROWS)
    assert is_unedited(card)
    assert not is_unedited(edit(card))
