"""What is believed of colours where several things may explain a difference."""

from __future__ import annotations

import numpy as np
import pytest

from hdrnet_bench.color import linear_to_srgb, srgb_to_linear
from hdrnet_bench.fingerprints.colours import WORDS, candidates
from hdrnet_bench.fingerprints.picture import of_pixels
from hdrnet_bench.images.pixels import Pixels
from tests.fingerprints.pack import encoded, light, pictures, rounded

SCENES = pictures()


def first(published: Pixels, changed: Pixels) -> str:
    return candidates(changed, of_pixels(published, "a0001", "input"))[0].kind


@pytest.mark.parametrize("scene", range(len(SCENES)))
def test_of_dark_and_foggy_pictures_the_exposure_is_found(scene: int) -> None:
    """A power, or another curve, is within a level of everything there; light that was multiplied
    is within a tenth."""
    linear = light(SCENES[scene])
    dark, fog = linear * 2**-4, (0.25 + 0.2 * SCENES[scene] / 255) ** 2.2
    for published, stops in ((dark, -1.5), (dark, 1), (fog, -0.5), (fog, -1.5), (fog, 0.5)):
        assert first(encoded(published), encoded(published * 2**stops)) == "exposure"


@pytest.mark.parametrize("scene", [4, 5])
def test_a_mistake_that_nearly_fits_is_not_believed_where_light_fits_exactly(scene: int) -> None:
    """Fog that was made darker until its mean is that of gamma 1.8, whose deviation is another by
    less than a level."""
    fog = 0.3 + 0.2 * SCENES[scene] / 255
    linear = srgb_to_linear(fog)
    gains = np.geomspace(0.3, 3, 200)
    means = np.array([linear_to_srgb(linear * gain).mean() for gain in gains])
    gain = np.interp((linear ** (1 / 1.8)).mean(), means, gains)
    changes = candidates(encoded(linear * gain), of_pixels(rounded(fog), "a0001", "input"))
    nearly = next(change for change in changes if change.kind == "gamma-1.8")
    assert nearly.explains
    assert changes[0].kind == "exposure"


@pytest.mark.parametrize("scene", range(len(SCENES)))
def test_a_white_balance_before_a_tone_curve_is_found(scene: int) -> None:
    def curve(numbers: np.ndarray) -> np.ndarray:
        return 0.65 * numbers**0.9 + 0.35 * (3 * numbers**2 - 2 * numbers**3)

    def developed(gains: list[float]) -> Pixels:
        return rounded(curve(encoded(0.8 * light(SCENES[scene]) * np.array(gains)) / 255))

    for gains in ([1.2, 1, 0.85], [0.85, 1, 1.2]):
        changes = candidates(developed(gains), of_pixels(developed([1, 1, 1]), "a0001", "input"))
        assert changes[0].kind == "white balance"
        # The curve makes more, or less, of it.
        assert (changes[0].red > 1) == (gains[0] > 1)
        assert (changes[0].blue > 1) == (gains[2] > 1)


def test_every_mistake_has_words_and_is_undone_alone() -> None:
    """Of a picture to which nothing was done, no mistake explains anything."""
    for pixels in SCENES:
        other = rounded((pixels / 255) ** 0.6)
        kinds = {change.kind for change in candidates(other, of_pixels(pixels, "a0001", "input"))}
        assert not kinds & (WORDS.keys() - {"gamma-1.8", "gamma-2.2"})
