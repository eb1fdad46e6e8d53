"""The documentation taken apart: pages, blocks of code, commands, headings, links, pictures.

`tests/test_readme.py` holds what is found here against the project.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests.conftest import ROOT

PACKAGE = ROOT / "hdrnet_bench"
FRONT = ROOT / "README.md"
CHAPTERS = sorted([*PACKAGE.rglob("README.md"), *PACKAGE.rglob("NOTES.md")])
PAGES = [
    *(FRONT, *sorted(set(ROOT.glob("*.md")) - {FRONT}), *CHAPTERS),
    ROOT / "pretrained/README.md",
    *(
        page
        for folder in ("recipes", "manifests", "results", "tests")
        for page in sorted((ROOT / folder).rglob("*.md"))
    ),
]
# GitHub shows a page in a column of so many CSS pixels; wider pictures are made smaller.
PAGE_WIDTH = 828
# Words in capitals stand for what a reader puts there.
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_]*(?:[/|=.-][A-Z0-9_]+)*")


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class Block(NamedTuple):
    """A fenced block: its language ("" where none is said), its text, the line it begins at."""

    language: str
    text: str
    line: int


def blocks(text: str, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, of one language or all."""
    found = [
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)
        for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]
    return [block for block in found if language in (None, block.language)]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def inline_code(text: str) -> list[str]:
    """The pieces of code in running text, each on one line."""
    pieces = []
    for paragraph in re.split(r"\n\s*\n", prose(text)):
        pieces += re.findall(r"(?<!`)`([^`]+)`(?!`)", paragraph)
    return [" ".join(piece.split()) for piece in pieces]


class Command(NamedTuple):
    """A command line, and what its program is given.

    whole: it stands in a block, where it is to be given as it is.
    """

    line: str
    given: list[str]
    whole: bool


def commands(text: str, program: str) -> list[Command]:
    """The command lines of `program` (hdrbench, make) in a page, in blocks and in running text."""
    lines = [
        (line, True)
        for block in blocks(text)
        if block.language in ("", "sh", "bash", "console")
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    lines += [(piece, False) for piece in inline_code(text)]
    found = []
    for line, whole in lines:
        # What stands far to the right of a command says what it does.
        command = re.split(r" {2,}", line.strip().removeprefix("$ "))[0]
        for part in re.split(r"&&|;|\|(?![A-Z])", command):
            given = _given(part, program)
            if given is not None:
                found.append(Command(" ".join(part.split()), given, whole))
    return found


def _given(line: str, program: str) -> list[str] | None:
    """The words after `program`; None where the line is of another one.

    Of a module: `python -m hdrnet_bench` is hdrbench. Brackets around what may be left out, and
    what the shell takes for itself (`> file`), are gone.
    """
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a quotation that ends elsewhere: no command
        return None
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # of the environment
        words.pop(0)
    if words and Path(words[0]).name == program:
        words = words[1:]
    elif program == "hdrbench" and "-m" in words and "hdrnet_bench" in words:
        words = words[words.index("hdrnet_bench") + 1 :]
    else:
        return None
    given: list[str] = []
    for word in words:
        if re.match(r"\d?>", word):
            break
        given.append(word.strip("[]").rstrip("…") or "ANY")
    return given


def recipes_made(text: str) -> set[str]:
    """The recipes that a page's commands write, or train on another dataset, by name."""
    written = {n for block in blocks(text) for n in re.findall(r"> ?([\w-]+)\.yaml", block.text)}
    new = set(re.findall(r"recipes new ([a-z0-9-]+)", text))
    on_others = re.findall(r"train ([a-z0-9-]+) --dataset ([a-z0-9-]+)", text)
    return written | new | {f"{recipe}-on-{dataset}" for recipe, dataset in on_others}


def datasets_made(text: str) -> set[str]:
    """The datasets of folders of one's own that a page's commands prepare, by name."""
    named = re.findall(r"prepare folder --protocol ([a-z0-9-]+)", text)
    return {f"folder-{protocol}" for protocol in named}


def is_placeholder(word: str) -> bool:
    return PLACEHOLDER.fullmatch(word) is not None or word == "ANY"


def anchors(text: str) -> set[str]:
    """What a page's headings are called in links, as GitHub makes it."""
    names: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain.replace("\\", "")).replace(" ", "-")
        count = 0
        name = slug
        while name in names:
            count += 1
            name = f"{slug}-{count}"
        names.add(name)
    return names


def links(text: str) -> list[str]:
    """Where a page's links and pictures lead."""
    plain = re.sub(r"(?<!`)`[^`\n]*`(?!`)", "", prose(text))
    return [
        *re.findall(r"\]\(([^)\s]+)\)", plain),
        *re.findall(r"<(?:a|img|source)\b[^>]*?(?:href|src|srcset)=\"([^\"]+)\"", plain),
    ]


def broken_links(page: Path) -> list[str]:
    """Links of a page whose file is not there, or has no such heading."""
    broken = []
    for link in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):  # elsewhere
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        there = target.exists()
        if there and anchor:
            there = target.suffix == ".md" and anchor in anchors(target.read_text(encoding="utf-8"))
        if not there:
            broken.append(link)
    return broken


class Shown(NamedTuple):
    """A picture in a page: the file, the line, and how large it is shown, in CSS pixels."""

    path: Path
    line: int
    width: float
    height: float


def pictures(page: Path) -> list[Shown]:
    """The project's own pictures in a page, as wide as it says or as they are, at most as the
    page."""
    shown = []
    text = page.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        tags = [(source, line) for source in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", line)]
        tags += [
            (match[1], match[0]) for match in re.finditer(r"<img\b[^>]*?src=\"(.*?)\"[^>]*>", line)
        ]
        for source, tag in tags:
            if re.match(r"[a-z]+:", source):  # elsewhere: a badge
                continue
            width, height = picture_size(page.parent / source)
            said = re.search(r"\bwidth=\"(\d+)(%?)\"", tag)
            wanted = float(said[1]) if said else width
            if said and said[2]:
                wanted *= PAGE_WIDTH / 100
            wide = min(wanted, PAGE_WIDTH)
            shown.append(Shown(page.parent / source, number, wide, height * wide / width))
    return shown


def picture_size(path: Path) -> tuple[float, float]:
    """Width and height in CSS pixels."""
    if path.suffix != ".svg":
        with Image.open(path) as picture:
            return picture.size
    head = path.read_text(encoding="utf-8")[:4000]
    points = {"pt": 4 / 3, "px": 1.0, "": 1.0}
    sides = [re.search(rf"\b{side}=\"([\d.]+)(pt|px|)\"", head) for side in ("width", "height")]
    width, height = (float(side[1]) * points[side[2]] for side in sides if side)
    return width, height


def widest_table(text: str) -> int:
    """The most columns that a table of a page has; 0 where there is none."""
    rows = re.findall(r"^\|[-:| ]+\|$", prose(text), re.MULTILINE)
    return max((row.count("|") - 1 for row in rows), default=0)
