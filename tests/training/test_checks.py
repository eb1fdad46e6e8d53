"""What is said of the pictures before a training."""

import pytest

from hdrnet_bench.data.manifest import Row
from hdrnet_bench.recipe import load_recipe
from hdrnet_bench.training.checks import data_notes
from hdrnet_bench.training.overrides import override


def rows_of(*sizes: tuple[int, int]) -> list[Row]:
    return [
        Row(
            id=str(number), split="train", input_file_name="a", target_file_name="b",
            width=width, height=height, input_bit_depth=8, target_bit_depth=8,
            input_pixels_sha256="", target_pixels_sha256="", source_names=[], source_sha256=[],
            licence="", input_mean=[0, 0, 0], input_std=[0, 0, 0], target_mean=[0, 0, 0],
            target_std=[0, 0, 0],
        )
        for number, (width, height) in enumerate(sizes)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "crop", "said"),
    [
        ([(900, 640)], 160, None),
        ([(900, 641)], 160, "crops of 160 are 25% of the pictures' short edge (641 in the middle)"),
        ([(641, 900)], 160, "crops of 160"),
        ([(4000, 3000)] * 2 + [(300, 200)], 160, "are 5% of"),
        ([(4000, 3000)] + [(300, 200)] * 2, 160, None),  # most are small
        ([(4000, 3000)], 750, None),
    ],
)
def test_crops_that_show_little_of_the_pictures(
    sizes: list[tuple[int, int]], crop: int, said: str | None
) -> None:
    recipe = override(load_recipe("demo-retouch"), [f"training.crop={crop}"])
    notes = data_notes(recipe, rows_of(*sizes), rows_of((9, 9)), "a rule", in_memory=True)
    of_crops = [note for note in notes if note.startswith("crops of ")]
    assert bool(of_crops) == bool(said)
    assert said is None or said in of_crops[0]
