"""The dataset card, README.md of a prepared dataset, as the Hugging Face Hub shows it.

It says what header and rows say and nothing of when or where it was made, so that the same dataset
has the same card. Its last line is a hash of the others: a card that somebody has edited is theirs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from ..cleaning import clean
from ..config import FULL_SCALE
from ..files import sha256_text
from .croissant import CROISSANT, OF_A_PUBLISHER, Origin
from .licences import NOT_STATED, hub_licence, may_be_passed_on
from .manifest import SPLITS, Header, Row

CARD = "README.md"
MOST_BYTES = 1 << 20  # of a card; one that is written here has some three thousand
_COLOURS = {
    "srgb": "sRGB",
    "linear": "linear light, sRGB primaries",
    "camera": "linear camera RGB",
}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


_UNKNOWN = Origin()


def card_text(
    header: Header, rows: Sequence[Row], command: str | None = None, origin: Origin = _UNKNOWN
) -> str:
    """The card of a dataset, as Markdown with a front matter.

    Args:
        rows: all of the dataset's, one at least.
        command: the command line that prepares it, where one does.
        origin: what is known of the photographs.

    What header and rows say may be anybody's text, and ends neither the front matter nor a cell.
    """
    name = _text(header.name)
    lines = [
        *_front_matter(header, rows),
        "",
        f"# {name}",
        "",
        "Pairs of pictures, an input and its target of the same size, that photo enhancement is "
        "trained and measured on; prepared by hdrnet-bench.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {what} | {value} |" for what, value in _facts(header, rows)),
        "",
        "A split's `metadata.jsonl` has a row for each pair: names, sizes, SHA-256 of the pixels, "
        "the files that it was made of and their licence. `dataset.json` has what was prepared, "
        f"with which settings and tools; `{CROISSANT}` says all of it to machines (Croissant 1.1, "
        "RAI 1.0).",
        "",
        "## Loading",
        "",
        *_loading(header, rows),
        "",
        "## Licence",
        "",
        *_licences(header, rows),
        "",
        "## How it was prepared",
        "",
        *_preparation(header, command),
        "",
        "## What is known of the photographs",
        "",
        *_known(origin),
        *_citation(origin),
        "",
    ]
    return _sealed("\n".join(lines))


def is_unedited(card: str) -> bool:
    """Whether a card is, to the byte, one that `card_text` wrote, by this version or another."""
    # Not by `splitlines`, which takes more than "\n" for line ends.
    text, _, _ = card.removesuffix("\n").rpartition("\n")
    return card == _sealed(text)


def _sealed(text: str) -> str:
    return f"{text}\n<!-- as hdrbench prepare wrote it: {sha256_text(text)} -->\n"


def _front_matter(header: Header, rows: Sequence[Row]) -> list[str]:
    licence, licence_name = hub_licence({row.licence for row in rows})
    size = next((label for limit, label in _SIZES if len(rows) < limit), "n>1M")
    return [
        "---",
        f"license: {licence}",
        *([f"license_name: {clean(licence_name, 'yaml')}"] if licence_name else []),
        f"pretty_name: {clean(header.name, 'yaml')}",
        "task_categories: [image-to-image]",
        f"size_categories: [{clean(size, 'yaml')}]",
        "tags: [hdrnet, photo-enhancement]",
        "---",
    ]


def _facts(header: Header, rows: Sequence[Row]) -> list[tuple[str, str]]:
    counts = [f"{split} {header.counts.get(split, 0):,}" for split in SPLITS]
    left_out = header.counts.get("rejected", 0)
    if left_out:
        counts.append(f"left out {left_out:,}, `rejected.jsonl` says why")
    pixels = sorted({(row.width * row.height, row.width, row.height) for row in rows})
    sizes = [f"{width}×{height}" for _, width, height in (pixels[0], pixels[-1])]
    facts = [
        ("source", _text(header.source)),
        ("protocol", f"{_text(header.protocol)}, version {header.version}"),
    ]
    # FiveK and HDR+ have these; others may have something else under such a key.
    size = header.settings.get("size")
    for what, value in (
        ("expert", header.settings.get("expert")),
        ("part", header.settings.get("part")),
        ("size", size.get("name") if isinstance(size, dict) else None),
        ("photographs", header.settings.get("pictures")),
    ):
        if isinstance(value, str):
            facts.append((what, _text(value)))
    white = f", {header.input_white} is white" if header.input_white != FULL_SCALE else ""
    return [
        *facts,
        ("pairs", ", ".join(counts)),
        ("pixels", sizes[0] if len(pixels) == 1 else f"{sizes[0]} to {sizes[1]}"),
        ("bits a channel", f"input {_bits(rows, 'input')}, target {_bits(rows, 'target')}"),
        ("colours", f"input {_COLOURS[header.input_encoding]}{white}; target sRGB"),
        ("digest of all rows", f"`{_code(header.digest)}`"),
    ]


def _depths(rows: Sequence[Row], side: str) -> list[int]:
    return sorted({getattr(row, f"{side}_bit_depth") for row in rows})


def _bits(rows: Sequence[Row], side: str) -> str:
    return " and ".join(map(str, _depths(rows, side)))


def _loading(header: Header, rows: Sequence[Row]) -> list[str]:
    split = next((s for s in SPLITS if any(row.split == s for row in rows)), SPLITS[0])
    # JSON's text is Python's too, and no line of the block ends in it.
    name, folder = json.dumps(header.name), json.dumps(f"data/{header.name}")
    ours = [
        "With hdrnet-bench, for PyTorch or as a dataset of Hugging Face's `datasets`, at the "
        "pictures' full depth:",
        "",
        "```python",
        "from hdrnet_bench import load_pairs",
        "",
        f'pairs = load_pairs({name}, "{split}")  # or the folder',
        "input, target, id = pairs[0]  # (3, H, W) float32, white at 1.0",
        "pairs = pairs.to_datasets()  # (H, W, 3) uint8 or uint16, as stored",
        "```",
        "",
    ]
    if 16 in _depths(rows, "input") + _depths(rows, "target"):
        return [
            *ours,
            "**16 bits:** `datasets.load_dataset` decodes with Pillow, which makes 8 bits of "
            "16-bit pictures without a word; viewers that do the same show 8 bits too.",
        ]
    return [
        *ours,
        "With `datasets` alone:",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'pairs = load_dataset("imagefolder", data_dir={folder}, split="{split}")',
        "```",
    ]


def _licences(header: Header, rows: Sequence[Row]) -> list[str]:
    counts = sorted(Counter(row.licence for row in rows).items())
    all_free = all(may_be_passed_on(licence) for licence, _ in counts)
    passing_on = (
        "All of them may be passed on, under these licences."
        if all_free
        else "Where it says no, hdrnet-bench knows of nothing that lets everybody pass the "
        "pictures on: keep them, and what is made of them, to yourself."
    )
    # The stop behind it is ours, also where it is a sentence.
    stated = header.licence.rstrip().removesuffix(".")
    licence = "not stated" if header.licence == NOT_STATED else _text(stated)
    return [
        # Behind words of ours: at a line's beginning it might be a heading or a rule.
        f"Of the dataset: {licence}.",
        "",
        "| licence | pairs | may be passed on |",
        "|---|---|---|",
        *(
            f"| {_text(licence)} | {count:,} | {'yes' if may_be_passed_on(licence) else 'no'} |"
            for licence, count in counts
        ),
        "",
        passing_on,
    ]


def _preparation(header: Header, command: str | None) -> list[str]:
    version = header.tools.get("hdrnet-bench")
    by = f"By hdrnet-bench {_text(version)}" if version else "By hdrnet-bench"
    if not command:
        return [f"{by}, from a source of its own."]
    return [
        f"{by}; the second command compares every picture with its row:",
        "",
        "```",
        clean(command, "line"),
        f"hdrbench verify {clean(header.name, 'line')}",
        "```",
    ]


def _known(origin: Origin) -> list[str]:
    """What datasheets ask, and what is left for whoever publishes the dataset."""
    of = f"{origin.title} ({origin.url})" if origin.title and origin.url else origin.title
    computed = {True: "some, computed and not photographed", False: "none", None: None}
    known = [
        ("From", of),
        ("Collection", origin.collection),
        ("Limitations", origin.limitations),
        ("Biases", origin.biases),
        ("People", origin.personal),
        ("Made for", origin.uses),
        ("Consequences", origin.social_impact),
        ("Synthetic pictures", computed[origin.synthetic]),
    ]
    lines = [f"- **{what}:** {_text(text)}" for what, text in known if text]
    unknown = [what.lower() for what, text in known if not text]
    if unknown:
        lines.append(
            f"- **Not known to hdrnet-bench:** {', '.join(unknown)}. Whoever publishes the dataset "
            f"says it in `{CROISSANT}`."
        )
    names = ", ".join(f"`{key}`" for key in OF_A_PUBLISHER)
    return [*lines, f"- **Left to whoever publishes it**, in `{CROISSANT}`: {names}."]


def _citation(origin: Origin) -> list[str]:
    if not origin.paper:
        return []
    return ["", "## Citation", "", f"For the photographs: {_text(origin.paper)}"]


def _text(text: str) -> str:
    return clean(text, "markdown")


def _code(text: str) -> str:
    return clean(text, "markdown").replace("`", "")
