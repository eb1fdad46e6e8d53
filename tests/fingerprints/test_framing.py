"""Turns and crops are found from a hash; another scene is not taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from hdrnet_bench.fingerprints.framing import framing
from hdrnet_bench.fingerprints.picture import grey_of, of_pixels
from hdrnet_bench.images.pixels import TURNS, Pixels, upright
from tests.fingerprints.pack import light, pictures, resized, rounded

SCENES = pictures()
HASHES = [of_pixels(pixels, "a0001", "input").hash for pixels in SCENES]


def found(pixels: Pixels, scene: int):
    return framing(grey_of(np.ascontiguousarray(pixels)), HASHES[scene])


@pytest.mark.parametrize("scene", range(len(SCENES)))
@pytest.mark.parametrize("orientation", TURNS)
def test_every_turn_is_undone(scene: int, orientation: int) -> None:
    changed = upright(SCENES[scene], orientation)
    result = found(changed, scene)
    assert result.kind == ("same" if orientation == 1 else "turned")
    # The orientation that it names makes the picture what it was.
    np.testing.assert_array_equal(upright(changed, result.orientation), SCENES[scene])


@pytest.mark.parametrize("scene", range(len(SCENES)))
def test_size_and_tones_do_not_matter(scene: int) -> None:
    pixels = SCENES[scene]
    for changed in (
        resized(pixels, 150, 100),
        resized(pixels, 600, 500),
        rounded(light(pixels)),
        rounded((pixels / 255) ** 0.5),
        pixels[:, :, ::-1],
    ):
        assert found(changed, scene).kind == "same"


@pytest.mark.parametrize("case", range(20))
def test_a_crop_is_found_with_its_size(case: int) -> None:
    random = np.random.default_rng(case)
    scene = case % len(SCENES)
    (height, width), (down, right) = random.uniform(0.7, 0.9, 2), random.uniform(0, 1, 2)
    pixels = SCENES[scene]
    rows, columns = pixels.shape[:2]
    h, w = round(height * rows), round(width * columns)
    top, left = round(down * (rows - h)), round(right * (columns - w))
    result = found(resized(pixels[top : top + h, left : left + w], columns, rows), scene)
    assert result.kind == "cropped"
    assert result.what is not None
    said = [int(word.rstrip("%")) / 100 for word in result.what.split() if word.endswith("%")]
    assert said == pytest.approx([w / columns, h / rows], abs=0.05)


def test_small_crops_are_found_too() -> None:
    kinds = []
    for scene, pixels in enumerate(SCENES):
        rows, columns = pixels.shape[:2]
        part = pixels[rows // 50 :, columns // 50 :]
        kinds.append(found(resized(part, columns, rows), scene).kind)
    assert kinds.count("cropped") >= len(SCENES) - 1


def test_another_scene_is_no_crop_and_no_turn() -> None:
    for scene in range(len(SCENES)):
        for other in range(len(SCENES)):
            if (other - scene) % len(SCENES) in (1, 3):
                assert found(SCENES[other], scene).kind == "another scene"


def test_in_a_flat_picture_nothing_is_recognised() -> None:
    assert found(np.full((100, 100, 3), 128, np.uint8), 0).kind == "flat"
    assert found(np.zeros((2, 3, 3), np.uint8), 0).kind == "flat"
