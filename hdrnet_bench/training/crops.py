"""Training samples: crops whose randomness is a function of (seed, epoch, id) and of nothing else,
so that neither workers, processes nor interruptions change them."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import HDRNetConfig
from ..data.encoding import input_white
from ..data.manifest import VALIDATION_SHARE, Dataset, Row, chosen_by_hash
from ..data.pairs import PictureStore
from ..errors import CapabilityError, DataError, HdrbenchError, StorageError
from ..files import json_value
from ..images.pixels import Pixels, white_level
from ..memory import lack_of_memory
from ..model.encoding import to_model_input
from ..model.lowres import make_lowres
from ..processes import end_with_parent, signals_kept_from_children
from ..recipe import TrainingSpec

_LOOK_EVERY_S = 0.5  # whether a batch is still waited for
_SHARED_MEMORY = (
    "the shared memory (/dev/shm) is too small for the batches of so many processes: fewer "
    "--workers need less, --workers 0 none"
)


class Batch(NamedTuple):
    """Low-res inputs (B, 3, S, S), crops (B, 3, K, K), both as the model is given them, and targets
    (B, 3, K, K), float32."""

    lowres: Tensor
    crop: Tensor
    target: Tensor

    def to(self, device: str) -> Batch:
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class CropDataset:
    """Training samples by number, without an end.

    Sample k is picture k modulo n of a permutation that is new every n samples (an epoch). Crop,
    flips and rotation are those of (seed, epoch, id). A picture smaller than the crop on a side is
    continued there by its mirror image, to the right and below. The low-res input is made from the
    crop, as published.
    """

    def __init__(
        self, pictures: PictureStore, config: HDRNetConfig, spec: TrainingSpec, seed: int
    ) -> None:
        self.pictures, self.config, self.spec, self.seed = pictures, config, spec, seed
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def batch(self, samples: Sequence[int]) -> Batch:
        """Some samples as one batch."""
        side = self.spec.crop
        crops, targets = (torch.empty(len(samples), 3, side, side) for _ in range(2))
        for place, sample in enumerate(samples):
            input_, target = self._cut(sample)
            crops[place] = torch.from_numpy(input_)
            crops[place].div_(input_white(input_, self.pictures.dataset.header))
            targets[place] = torch.from_numpy(target)
            targets[place].div_(white_level(target))
        crops = to_model_input(crops, self.config)
        lowres = make_lowres(crops, self.config.net_input_size, self.config.lowres_resize)
        return Batch(lowres, crops, targets)

    def ids(self, samples: Sequence[int]) -> list[str]:
        return [self.pictures.rows[self._place(sample)[1]].id for sample in samples]

    def _place(self, sample: int) -> tuple[int, int]:
        """Epoch and picture of a sample."""
        epoch, place = divmod(sample, len(self.pictures))
        if self._order is None or self._order[0] != epoch:
            random = _generator(self.seed, epoch, "order")
            self._order = epoch, random.permutation(len(self.pictures))
        return epoch, int(self._order[1][place])

    def _cut(self, sample: int) -> list[Pixels]:
        """Input and target (3, K, K), as stored."""
        epoch, index = self._place(sample)
        row, side = self.pictures.rows[index], self.spec.crop
        random = _generator(self.seed, epoch, row.id)
        top = int(random.integers(max(row.height - side, 0) + 1))
        left = int(random.integers(max(row.width - side, 0) + 1))
        flipped = [axis for axis in (1, 2) if random.integers(2)] if self.spec.flips else []
        turns = int(random.integers(4)) if self.spec.rot90 else 0
        cut: list[Pixels] = []
        for picture in self.pictures.pixels(index):
            window: Any = picture[:, top : top + side, left : left + side]
            missing = [(0, side - length) for length in window.shape[1:]]
            if any(after for _, after in missing):
                window = np.pad(window, ((0, 0), *missing), mode="symmetric")
            window = np.rot90(np.flip(window, tuple(flipped)), turns, axes=(1, 2))
            cut.append(np.array(window, order="C"))
        return cut


def _generator(seed: int, epoch: int, what: str) -> np.random.Generator:
    key = hashlib.sha256(f"{seed}/{epoch}/{what}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))


class BatchSampler(torch.utils.data.Sampler[list[int]]):
    """The samples of each step, for one of `processes`: step s (from 1) has the global batch of
    samples (s - 1) * batch … s * batch - 1, and each process its contiguous share of them. `done`
    steps are passed over, as where a run is resumed."""

    def __init__(self, batch: int, steps: int, done: int = 0, rank: int = 0, processes: int = 1):
        self.batch, self.steps, self.done = batch, steps, done
        self.share = range(rank * batch // processes, (rank + 1) * batch // processes)

    def __len__(self) -> int:
        return self.steps - self.done

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.done, self.steps):
            yield [step * self.batch + place for place in self.share]


def batch_loader(
    crops: CropDataset,
    sampler: BatchSampler,
    workers: int,
    pin_memory: bool,
    given_up: Callable[[], bool] = bool,
) -> Generator[Batch, None, None]:
    """Batches in order; `workers` processes make them ahead, none makes them when asked. Closing it
    ends the workers.

    given_up: asked while a batch of a worker is waited for; where it says so, there are no more.

    Raises DataError where a picture cannot be read, StorageError where a worker was killed,
    CapabilityError where there is no shared memory for the batches.
    """
    with warnings.catch_warnings():
        # Twice, and of a line of torch, that the workers which somebody asked for are many.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader = torch.utils.data.DataLoader(
            _WithErrors(crops),
            batch_sampler=sampler,
            collate_fn=_as_it_is,
            num_workers=workers,
            pin_memory=pin_memory,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),
            timeout=_LOOK_EVERY_S if workers else 0,
        )
        try:
            batches = _started(loader)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # where the locks of queues lie
                raise CapabilityError(_SHARED_MEMORY) from None
            raise
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            if str(error).startswith("DataLoader timed out"):
                pinning = getattr(batches, "_pin_memory_thread", None)
                if pinning is not None and not pinning.is_alive():
                    raise RuntimeError("the thread that pins batches has ended") from None
                if given_up():
                    return
                continue
            if str(error).startswith("DataLoader worker"):
                raise StorageError(
                    "a process that prepares batches was killed (out of memory, or by somebody): "
                    "fewer --workers need less"
                ) from None
            raise
        if isinstance(batch, HdrbenchError):
            raise batch
        yield batch


def _started(loader: torch.utils.data.DataLoader[Any]) -> Iterator[Any]:
    """The loader's batches, with its processes started so that they stop with this one alone."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD) if main and hasattr(signal, "SIGCHLD") else None
    with signals_kept_from_children():
        batches = iter(loader)
    if handler is not None:
        # Torch's own raises wherever a worker's death finds this process, as in mid-step, with
        # weights half changed. Without it, the death is met where a batch is asked for.
        signal.signal(signal.SIGCHLD, handler)
    return batches


class _WithErrors(torch.utils.data.Dataset[Any]):
    """Crops that return an error of one line: raised in a worker it would lose that."""

    def __init__(self, crops: CropDataset) -> None:
        self.crops = crops

    def __getitems__(self, samples: Sequence[int]) -> Batch | HdrbenchError:
        try:
            batch = self.crops.batch(samples)
            if torch.utils.data.get_worker_info() is not None:
                _share(batch)
        except (DataError, CapabilityError) as error:
            return error
        return batch


def _share(batch: Batch) -> None:
    """Move a worker's batch to where its parent takes it over. Left to the thread that sends it, an
    error would be a traceback, and the parent would wait without end."""
    try:
        for tensor in batch:
            tensor.share_memory_()
    except RuntimeError as error:
        if "Too many open files" in str(error) or lack_of_memory(error):
            raise
        raise CapabilityError(_SHARED_MEMORY) from None


def _start_worker(worker: int) -> None:
    """Forked, a worker holds the run's lock too: it must not outlive a parent that was killed."""
    end_with_parent()
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_wait_for_end, args=(os.getppid(),), daemon=True).start()
    sys.excepthook = _without_lost_parent


def _wait_for_end(parent: int) -> None:
    """Signals that ask to stop are blocked in a worker: its parent first ends what it is at, and
    needs batches for it. From the parent itself, SIGTERM ends it."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def _without_lost_parent(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """An interrupted parent leaves the handshake by which it takes over a tensor, and the worker's
    thread at the other end would print a traceback for it. The parent says itself why it ends."""
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _as_it_is(batch: Any) -> Any:
    return batch


def training_rows(dataset: Dataset) -> tuple[list[Row], list[Row], str]:
    """Rows to train on, rows to validate on, and the rule that parted them.

    The dataset's own validation split, or, where it has none, 5 % of the training ids by hash. Of
    rows in groups it is 5 % of the groups, so that nothing trained on shows what is validated on;
    the augmented versions among these are left out. Test is never used.
    """
    train, validation = dataset.split("train"), dataset.split("validation")
    name = dataset.header.name
    if not train:
        raise DataError(f"dataset {name} has no pictures in its train split")
    if validation:
        return train, validation, "the dataset's validation split"
    in_groups = any(row.group is not None for row in train)
    if len({_group_of(row) for row in train}) == 1:
        what = "group of training pictures" if in_groups else "training picture"
        raise DataError(
            f"dataset {name} has no validation split and one {what}, which cannot be both"
        )
    augmented = {row.id for row in train if json_value(row.measured).get("augmented") is True}
    # A small copy may hold augmented versions alone: of some groups, or of all.
    unaugmented = [row for row in train if row.id not in augmented] or train
    groups = list(dict.fromkeys(map(_group_of, unaugmented)))
    chosen = chosen_by_hash(groups, VALIDATION_SHARE)
    training = [row for row in train if _group_of(row) not in chosen]
    validating = [row for row in unaugmented if _group_of(row) in chosen]
    rule = f"{VALIDATION_SHARE:.0%} of the training {'groups' if in_groups else 'ids'}, by hash"
    left_out = len(train) - len(training) - len(validating)
    versions = f", without their augmented versions ({left_out})" if left_out else ""
    return training, validating, rule + versions


def _group_of(row: Row) -> str:
    """A picture without a group is one of its own."""
    return row.id if row.group is None else row.group
