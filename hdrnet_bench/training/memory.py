"""How much memory a training needs, estimated from its recipe before anything is allocated.

Within a factor of two of what is measured: refused is only what is far beyond what there is. On an
H100 0.56 to 1.44 of the peak that torch said it had allocated, in eighteen settings: three
variants, two precisions, four and sixteen crops of 512 pixels, four of 1024.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import CapabilityError
from ..memory import available, lack_of_memory
from ..model.guides import PointwiseGuide
from ..model.hdrnet import HDRNet
from ..recipe import Recipe
from .distributed import World

_FLOAT = 4  # bytes
# Values a pixel at full resolution beside the guide's: crop, target, output and its gradient, the
# loss's difference, guide and its gradient (measured: 18).
_PIXEL = 18
_PREFETCHED = 2  # batches that each worker has ready or makes
_CLEARLY = 1.5  # of what is free: what the estimate is at most off by, and what can be made free


class Memory(NamedTuple):
    """Bytes of one process: weights with gradients, optimiser and averages; the coefficient
    network's activations; the full-resolution half; batches that are made ahead."""

    weights: int
    network: int
    pixels: int
    batches: int

    @property
    def step(self) -> int:
        """What lies where the network does, in a step or while its state is written."""
        return self.weights + max(self.network + self.pixels, self.weights)

    @property
    def total(self) -> int:
        return self.step + self.batches


def estimate(recipe: Recipe, workers: int, processes: int = 1) -> Memory:
    """What one of `processes` needs at its peak, with so many workers."""
    config, spec = recipe.model, recipe.training
    share = -(-spec.batch_size // processes)
    with torch.device("meta"):
        model = HDRNet(config).train()
        lowres = torch.empty(share, 3, config.net_input_size, config.net_input_size)
        crop = torch.empty(share, 3, spec.crop, spec.crop)
    # Weights, gradients, two moments; the best and the averaged ones.
    copies = 5 + (spec.ema is not None)
    parameters = sum(p.numel() for p in model.parameters()) * _FLOAT
    pixels = _PIXEL * share * spec.crop**2 * _FLOAT
    for level, guide in enumerate(model.guides):
        if isinstance(guide, PointwiseGuide):
            pixels += _kept_by(guide, crop[..., :: 2**level, :: 2**level])
    one = (lowres.numel() + 2 * crop.numel()) * _FLOAT
    # Beside those that are ready, what one is cut and converted in.
    batches = one * (2 + (_PREFETCHED + 1) * workers)
    network = _kept_by(model.coefficient_network, lowres)
    if spec.precision != "float32":  # of 16 bits, under autocast
        network //= 2
    return Memory(copies * parameters, network, pixels, batches)


def _kept_by(module: nn.Module, inputs: Tensor) -> int:
    """Bytes that the backward pass needs of a forward pass, each storage counted once, and three
    times the largest: gradients, and what convolutions reorder."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(inputs)
    sizes = [tensor.untyped_storage().nbytes() for tensor in kept.values()]
    return sum(sizes) + 3 * max(sizes)


def free_for(device: str) -> int:
    """Bytes that are free where a device's tensors lie."""
    if device.startswith("cuda"):
        where = torch.device(device)
        # What torch keeps for itself of a training before this one, as of another seed.
        kept = torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)
        return torch.cuda.mem_get_info(where)[0] + kept
    return available()


class Share(NamedTuple):
    """Bytes that are needed and that are free, and where."""

    needed: int
    free: int
    where: str

    def __str__(self) -> str:
        needed, free = size_text(self.needed), size_text(self.free)
        return f"about {needed} of memory, and {self.where} has {free} free"


def shares(need: Memory, device: str, world: World) -> list[Share]:
    """What is needed where: on a GPU the batches that are made ahead lie elsewhere."""
    machine = available(), "this machine"
    if device.startswith("cuda"):
        here = Share(need.step, free_for(device), device)
        return [here, Share(need.batches * world.local_size, *machine)]
    return [Share(need.total * world.local_size, *machine)]


def check_memory(recipe: Recipe, device: str, workers: int, world: World) -> list[str]:
    """Notes where a step may need more memory than there is. Raises CapabilityError where it
    clearly does."""
    need = estimate(recipe, workers, world.size)
    notes = []
    for share in shares(need, device, world):
        says = f"a step of recipe {recipe.name} needs {share}"
        if share.needed > _CLEARLY * share.free:
            raise CapabilityError(f"{says}: {_advice(need)}")
        if share.needed > share.free:
            notes.append(f"{says}: where it runs out, {_advice(need)}")
    return notes


def workers_for(asked: int | None, in_memory: bool, device: str, world: World) -> int:
    """How many processes make batches ahead: as many as are asked for, or by default one where
    pictures are in memory and the device is a CPU, else one a core, up to eight."""
    if asked is not None:
        return asked
    if in_memory and not device.startswith("cuda"):
        return 1
    return min(8, max(1, (os.cpu_count() or 1) // world.local_size))


def _advice(need: Memory) -> str:
    largest = max(zip(need, need._fields, strict=True))[1]
    keys = {
        "weights": "model.channel_multiplier, model.luma_bins or model.spatial_bin",
        "network": "training.batch_size, model.net_input_size or model.channel_multiplier",
        "pixels": "training.batch_size, training.crop or model.guide_complexity",
        "batches": "--workers, training.batch_size or training.crop",
    }
    return f"lower {keys[largest]}"


def size_text(count: int) -> str:
    if count < 10**9:
        return f"{count / 1e6:,.0f} MB"
    return f"{count / 1e9:,.1f} GB" if count < 10**10 else f"{count / 1e9:,.0f} GB"


@contextmanager
def memory_advice(recipe: Recipe) -> Iterator[None]:
    """Where memory runs out after all, CapabilityError says what takes less."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not lack_of_memory(error):
            raise
        # Workers are few here: what they need is no part of it.
        need = estimate(recipe, 0)
        raise CapabilityError(
            f"memory ran out: a step of recipe {recipe.name} needs about "
            f"{size_text(need.total)}: {_advice(need)}"
        ) from None
