"""`load_pairs`: a prepared dataset for those who train in loops of their own, with torch or with
Hugging Face's `datasets`."""

from __future__ import annotations

import operator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ..errors import DataError, UsageError
from .manifest import SPLITS, Dataset, Row, Split, open_dataset
from .pairs import decode_picture, load_pair

if TYPE_CHECKING:
    import datasets


class Example(NamedTuple):
    """One pair: input and target (3, H, W) float32, 1.0 white, and its id."""

    input: Tensor
    target: Tensor
    id: str


def load_pairs(dataset: str | Path, split: Split | None = None) -> Pairs:
    """The pairs of a prepared dataset, as a map-style dataset of torch.

    Args:
        dataset: its name, which is looked for in data/ (or HDRBENCH_DATA), or its folder.
        split: "train", "validation" or "test"; None for the pairs of all three, in this order.

    Raises:
        UsageError: there is no split of that name.
        DataError: the dataset is not prepared, is broken, or has no pair in that split.
    """
    if split is not None and split not in SPLITS:
        raise UsageError(f"there is no split {split!r}: train, validation or test, or None for all")
    opened = open_dataset(str(dataset))
    rows = opened.rows if split is None else opened.split(split)
    if not rows:
        counts = ", ".join(f"{name} {len(opened.split(name))}" for name in SPLITS)
        where = "" if split is None else f" in its split {split}"
        raise DataError(f"dataset {opened.header.name} has no pairs{where}: {counts}")
    return Pairs(opened, rows)


class Pairs(TorchDataset[Example]):
    """Pairs by number, decoded from their files each time, at their full depth of 8 or 16 bits.

    `pairs[i]` is an `Example`: input and target are of one size, (3, H, W), which differs from pair
    to pair. Both are float32 with white at 1.0 and in [0, 1], but for inputs that are linear light
    (`dataset.header.input_encoding`), whose highlights go over 1.0; targets are sRGB.

    Raises IndexError past the end, and DataError that names the file where one is missing, broken,
    or of another size than its row says.

    dataset: the dataset on disk, with its header. rows: what is known of each pair.
    """

    def __init__(self, dataset: Dataset, rows: list[Row]) -> None:
        self.dataset, self.rows = dataset, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: SupportsIndex) -> Example:
        pair = load_pair(self.dataset, self.rows[operator.index(index)])
        return Example(pair.input, pair.target, pair.row.id)

    def to_datasets(self) -> datasets.Dataset:
        """The same pairs as a dataset of Hugging Face's `datasets`, decoded as they are asked for.

        It has a column for every field of a row; `mask`, where the dataset has masks, is the path
        of a grey PNG. `input` and `target` are, when read, (H, W, 3)
        arrays as they are stored: uint8, white at 255, or uint16, white at 65535 (of inputs at the
        header's `input_white`). What lies in these two columns (`with_format(None)`) are the files'
        paths. Another `with_transform` or `with_format` takes the place of the decoding.

        Reading one raises DataError as `pairs[i]` does.
        """
        import datasets

        table: list[dict[str, Any]] = []
        sizes: dict[str, tuple[int, int]] = {}
        for row in self.rows:
            named = {"input_file_name", "target_file_name", "mask_file_name"}
            fields = row.model_dump(exclude={"id", "split", *named})
            if mask := self.dataset.mask_path(row):
                fields["mask"] = str(mask.absolute())
            paths = self.dataset.input_path(row), self.dataset.target_path(row)
            # Absolute, so that the files are found from any directory.
            input_, target = (str(path.absolute()) for path in paths)
            table.append(
                {"id": row.id, "split": row.split, "input": input_, "target": target} | fields
            )
            sizes |= dict.fromkeys((input_, target), (row.width, row.height))
        decode = partial(_decode, sizes=sizes, name=self.dataset.header.name)
        return datasets.Dataset.from_list(table).with_transform(decode)


def _decode(
    batch: dict[str, list[Any]], sizes: dict[str, tuple[int, int]], name: str
) -> dict[str, list[Any]]:
    """The columns of a batch with pictures in place of the paths that `sizes` has: what a user put
    into the columns by `map` stays."""
    decoded = {
        column: [
            decode_picture(Path(value), sizes[value], name)
            if isinstance(value, str) and value in sizes
            else value
            for value in batch[column]
        ]
        for column in ("input", "target")
        if column in batch
    }
    return batch | decoded
