"""The plug-in that exports FiveK from Adobe Lightroom Classic, recipes/lightroom/hdrbench.lrplugin,
with a preset for every protocol of renderings and each of its sizes.

The presets are made of the protocols, so that what is exported is what `prepare fivek` checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UsageError
from ..files import read_bytes, write_bytes
from ..paths import NAME, shipped
from .protocol_models import FiveKProtocol, LightroomFile
from .protocols import protocols_of_renderings

PLUGIN = "hdrbench.lrplugin"
PRESETS = "Presets.lua"
_INFO = "Info.lua"
_IDENTIFIER = b"LrToolkitIdentifier = 'hdrnet-bench.fivek-export'"
_MOST_BYTES = 1 << 20


class Written(NamedTuple):
    """Where the plug-in is, what it exports ("zeng-srgb 480p"), and whether it was there already,
    just so."""

    path: Path
    presets: list[str]
    unchanged: bool


def write_plugin(folder: Path, *, overwrite: bool) -> Written:
    """Copy the plug-in into a folder, with presets of the protocols that are found from here.

    Raises UsageError where another one is there that is not to be replaced, or something else is,
    which never is.
    """
    chosen = _protocols()
    source = shipped("recipes") / "lightroom" / PLUGIN
    names = sorted(path.name for path in source.glob("*.lua"))
    content = {name: read_bytes(source / name, _MOST_BYTES) for name in names}
    content[PRESETS] = presets_text(chosen).encode()
    target = folder / PLUGIN
    unchanged = _check_replaceable(target, content, overwrite)
    if not unchanged:
        # The file that says whose it is comes first: where this is stopped, it may be repeated.
        for name in sorted(content, key=lambda name: (name != _INFO, name)):
            write_bytes(target / name, content[name])
    presets = [f"{protocol.name} {size}" for protocol in chosen for size in protocol.sizes]
    return Written(target, presets, unchanged)


def _check_replaceable(target: Path, content: dict[str, bytes], overwrite: bool) -> bool:
    """Whether the plug-in is there already, just so."""
    if not target.exists() and not target.is_symlink():
        return False
    if not target.is_dir() or (any(target.iterdir()) and not _is_ours(target)):
        raise UsageError(f"{target} is not this plug-in: move it away, or name another folder")
    there = {path.name: path for path in target.glob("*.lua") if path.is_file()}
    if all(n in there and read_bytes(there[n], _MOST_BYTES) == content[n] for n in content):
        return True
    if there and not overwrite:
        raise UsageError(
            f"{target} is another version of the plug-in, or of the protocols: --overwrite "
            "replaces it"
        )
    return False


def _is_ours(target: Path) -> bool:
    info = target / _INFO
    return info.is_file() and _IDENTIFIER in read_bytes(info, _MOST_BYTES)


def _protocols() -> list[FiveKProtocol]:
    """Those of renderings, the most used first: Lightroom's dialog begins with it."""
    return sorted(
        protocols_of_renderings(), key=lambda protocol: (-len(protocol.used_by), protocol.name)
    )


def presets_text(protocols: Iterable[FiveKProtocol]) -> str:
    """Presets.lua. Raises UsageError for a size that can be no name of a folder."""
    lines = ["-- Made of the protocols by `hdrbench protocols --lightroom`.", "return {"]
    for protocol in protocols:
        for size in protocol.sizes:
            lines += _preset(protocol, size)
    return "\n".join([*lines, "}", ""])


def _preset(protocol: FiveKProtocol, size: str) -> list[str]:
    export, rule = protocol.lightroom, protocol.sizes[size]
    assert export is not None
    if not re.fullmatch(NAME, size):
        raise UsageError(f"fivek {protocol.name}: size {size!r} must match {NAME}")
    values: dict[str, Any] = {"protocol": protocol.name, "size": size, "edge": rule.edge}
    if rule.pixels is not None:
        values["pixels"] = rule.pixels
    # What Lightroom can do of XYZ is what XYZ is made of.
    values["xyz"] = protocol.input.space == "xyz"
    lines = ["  {", *(f"    {key} = {_lua(value)}," for key, value in values.items())]
    for name, collection, file in (
        ("input", export.input_collection, export.input),
        ("target", export.target_collection, export.target),
    ):
        lines += [f"    {name} = {{", *_side(collection, file), "    },"]
    return [*lines, "  },"]


def _side(collection: str, file: LightroomFile) -> list[str]:
    values = {"collection": collection} | file.model_dump(exclude_none=True)
    return [f"      {key} = {_lua(value)}," for key, value in values.items()]


def _lua(value: str | int) -> str:
    """A value as Lua 5.1 reads it: of a text, every byte but the plain ones by its number."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    plain = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:03}"
        for byte in value.encode()
    )
    return '"' + "".join(plain) + '"'
