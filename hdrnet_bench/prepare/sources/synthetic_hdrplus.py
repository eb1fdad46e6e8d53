"""Source `synthetic-hdrplus`: pairs like HDR+'s from finished photographs or DNGs, nothing fetched.

The input is what a merged burst might have been: linear light with sRGB primaries, exposed down,
with highlights that go over white and a camera's noise. It has 16 bits; 1.0 is stored as 32767, so
that 2.0 is the most. The target is the same light without noise, tone-mapped by one fixed local
operator to 8-bit sRGB. How far down, how high and how noisy differs from picture to picture; the
SHA-256 of the id decides it, and the row has it.

Pictures are the demo photographs, in the demo's splits, or those of a folder, in splits as source
`folder` makes them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...color import linear_to_srgb, srgb_to_linear
from ...data.manifest import Row
from ...errors import UsageError
from ...images import raw
from ...images.files import read_picture
from ...images.pixels import Pixels, pixels_sha256, quantise
from ..build import PreparedPair, RejectedPair
from ..choosing import check_own_name
from ..operators import OPERATORS, Float, as_planar, retouch
from ..staging import Plan, Task
from . import demo, folder, folder_pairs
from .checks import check_development
from .source_files import Counted, reading, uncounted

VERSION = 1
SOURCE, PROTOCOL = "synthetic-hdrplus", "local-tone-map"
WHITE = 32767  # stands for 1.0
DNG = ".dng"
STOPS_DOWN = (1.0, 3.0)
PEAK = (1.25, 1.75)
# Shot and read noise, both multiplied by a gain that stands for the sensitivity of the exposure.
SHOT, READ, GAIN_STOPS = 2.5e-4, 5e-4, (0.0, 2.0)
# Which highlights are lifted, by quantiles of the picture's brightness: from the first on a little,
# from the second on all the way. Where the two are close, a sky, say, lifting starts lower, at KNEE
# times the second's brightness.
LIFTED_ABOVE, PEAK_ABOVE, KNEE = 0.9, 0.995, 0.8
# Brings inputs back to about the exposure that `retouch` is made for.
TARGET_STOPS_UP = 1.0
_DEVELOPMENT = raw.Development()


class Camera(NamedTuple):
    """How a picture is taken.

    exposure: factor on linear light.
    peak: what the highlights are lifted to; above 1.0, below 65535 / 32767.
    shot, read: the noise of value x has variance shot * x + read^2.
    """

    exposure: float
    peak: float
    shot: float
    read: float


class SyntheticJob(NamedTuple):
    """What a worker gets: one of the demo photographs, or a file, its name in the row and what it
    hashed to when the dataset was planned, or why there is none (stage and reason)."""

    id: str
    photograph: demo.Photograph | None = None
    path: Path | None = None
    name: str = ""
    sha256: tuple[str, ...] | None = None
    problem: tuple[str, str] | None = None


def protocols() -> dict[str, str]:
    """Name and summary of each protocol of this source."""
    pairs = "dark, noisy, linear inputs with highlights over white, and tone-mapped targets"
    return {
        PROTOCOL: f"{pairs}, from the demo photographs",
        "NAME": f"{pairs}, from --source-dir DIR",
    }


def plan_and_tasks(
    protocol: str | None, source: Path | None, counted: Counted = uncounted
) -> tuple[Plan, list[Task]]:
    """What is made: of the demo photographs, or of the pictures below `source`.

    counted: as of `folder.plan_and_tasks`.

    Raises UsageError for a protocol that does not fit, DataError for a folder without pictures.
    """
    if source is None:
        if protocol not in (None, PROTOCOL):
            raise UsageError(
                f"source {SOURCE} has the protocol {PROTOCOL}; other names are for pictures of "
                "your own, by --source-dir DIR"
            )
        tasks = [Task(p.id, p.split, SyntheticJob(p.id, photograph=p)) for p in demo.PHOTOGRAPHS]
        plan = _plan(PROTOCOL, "each picture its own, see the rows", {"pictures": demo.PICTURES})
        return plan, tasks
    if protocol is None or protocol == PROTOCOL:
        raise UsageError(
            f"source {SOURCE} with --source-dir needs --protocol NAME, a name of your own for "
            f"these pictures: small letters, digits and '-', and not {PROTOCOL}"
        )
    check_own_name(protocol)
    (place,) = folder_pairs.folders(None, source, None)
    place = place._replace(suffixes=(*folder_pairs.SUFFIXES, DNG))
    # Source `folder` finds the pictures and splits them; only what it would make is another thing.
    folder_plan, tasks = folder.plan_and_tasks("identity", [place], counted=counted)
    settings = {
        "pictures": "a folder's",
        "folder_version": folder.VERSION,
        "dng": raw.settings(_DEVELOPMENT),
        **{
            key: folder_plan.settings[key]
            for key in ("splits", "validation", "colours", "files_sha256")
        },
    }
    return _plan(protocol, "not-stated", settings), [
        Task(
            task.id,
            task.split,
            SyntheticJob(
                task.id,
                path=task.payload.input,
                name=next(iter(task.payload.names), ""),
                sha256=task.payload.sha256,
                problem=task.payload.problem,
            ),
        )
        for task in tasks
    ]


def _plan(protocol: str, licence: str, pictures: dict[str, object]) -> Plan:
    settings = {
        "operator": "retouch",
        "operator_version": OPERATORS["retouch"].version,
        "target_stops_up": TARGET_STOPS_UP,
        "stops_down": list(STOPS_DOWN),
        "peak": list(PEAK),
        "lifted_above": LIFTED_ABOVE,
        "peak_above": PEAK_ABOVE,
        "knee": KNEE,
        "shot": SHOT,
        "read": READ,
        "gain_stops": list(GAIN_STOPS),
        **pictures,
    }
    return Plan(
        f"{SOURCE}-{protocol}", SOURCE, protocol, VERSION, licence, settings, "linear", WHITE
    )


def make(job: SyntheticJob) -> PreparedPair:
    """Make one pair of a photograph. Raises RejectedPair."""
    if job.problem is not None:
        raise RejectedPair(*job.problem)
    if job.photograph is not None:
        with reading(demo.path_of(job.photograph)) as hashes:
            picture = demo.read(job.photograph)
        pixels, notes, scene = picture.pixels, list(picture.notes), _linear(picture.pixels)
        name, licence = f"{job.photograph.package}/{job.photograph.path}", job.photograph.licence
    else:
        assert job.path is not None
        name, licence = job.name, "not-stated"
        with reading(job.path, expected=job.sha256) as hashes:
            pixels, notes, scene = _read(job.path)
    camera, random = camera_of(job.id)
    clean = expose(scene, camera)
    measured = camera._asdict() | {"scene_pixels_sha256": pixels_sha256(pixels)}
    return PreparedPair(
        input=encode(add_noise(clean, camera, random)),
        target=quantise(tone_map(clean)),
        source_names=[name],
        source_sha256=hashes,
        licence=licence,
        measured=measured | ({"notes": notes} if notes else {}),
    )


def _read(path: Path) -> tuple[Pixels, list[str], Float]:
    """A file's pixels, the notes of reading them, and the scene: (3, H, W) linear light."""
    if path.suffix.lower() == DNG:
        developed = raw.develop(path, _DEVELOPMENT)
        check_development(path, developed.pixels)
        return developed.pixels, developed.notes, as_planar(developed.pixels)
    picture = read_picture(path)
    return picture.pixels, list(picture.notes), _linear(picture.pixels)


def _linear(pixels: Pixels) -> Float:
    """(H, W, 3) sRGB to (3, H, W) linear light."""
    return srgb_to_linear(as_planar(pixels))


def camera_of(id_: str) -> tuple[Camera, np.random.Generator]:
    """The camera of a picture, and the random numbers of its noise: both decided by its id."""
    key = hashlib.sha256(f"{SOURCE}/{VERSION}/{id_}".encode()).digest()
    random = np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))
    exposure = 2.0 ** -random.uniform(*STOPS_DOWN)
    peak = random.uniform(*PEAK)
    gain = 2.0 ** random.uniform(*GAIN_STOPS)
    # To six digits, as the row has them: what the row says is what the pixels were made with.
    values = (exposure, peak, gain * SHOT, gain * READ)
    return Camera(*(float(f"{value:.6g}") for value in values)), random


def expose(scene: Float, camera: Camera) -> Float:
    """Expose (3, H, W) linear light down, and lift its highlights over white.

    A finished picture has its highlights compressed by a shoulder. To undo one, the largest channel
    m of a pixel becomes e m + (p - e top) t^2, where e is the exposure and t goes from 0 at the
    knee to 1 at `top`, which becomes the peak p; the slope has no step at the knee. Knee and top
    are quantiles of the picture's own m, so that every picture but a black one goes over white. The
    channels of a pixel keep their ratios.
    """
    largest = scene.max(axis=0)
    # "lower": a value of the picture itself, not one interpolated from two.
    quantiles = np.quantile(largest, (LIFTED_ABOVE, PEAK_ABOVE), method="lower")
    top = quantiles[1]
    if top <= 0:
        return scene * camera.exposure
    knee = min(quantiles[0], KNEE * top)
    t = np.clip((largest - knee) / (top - knee), 0.0, 1.0)
    lift = (camera.peak - camera.exposure * top) * t * t
    # Where the largest channel is 0, so is the lift: any divisor but 0 does.
    return scene * (camera.exposure + lift / np.where(largest > 0, largest, 1.0))


def add_noise(clean: Float, camera: Camera, random: np.random.Generator) -> Float:
    """Shot and read noise on (3, H, W) linear light: normal, of variance shot * x + read^2."""
    deviation = np.sqrt(camera.shot * clean + camera.read**2)
    return clean + deviation * random.standard_normal(clean.shape)


def encode(linear: Float) -> NDArray[np.uint16]:
    """(3, H, W) linear light to (H, W, 3) 16 bits: 1.0 to WHITE, clipped to [0, 65535]."""
    levels = np.rint(np.clip(linear * WHITE, 0, 65535)).astype(np.uint16)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def tone_map(clean: Float) -> Float:
    """(3, H, W) linear light to sRGB in [0, 1]: a stop up, then the operator `retouch`. Its curves
    go on above 1.0, and its local tone mapping brings such light below white."""
    return retouch(linear_to_srgb(clean * 2.0**TARGET_STOPS_UP))


def duplicates(rows: list[Row]) -> dict[tuple[str, str], str]:
    """As folder.duplicates, by the pixels of the scenes: noise makes all inputs different."""
    return folder.duplicates(rows, lambda row: json.loads(row.measured)["scene_pixels_sha256"])
