"""Several processes that train one model (torchrun), and the one that is alone.

Rank 0 alone writes and reports. An error of one process ends all of them, and is said once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from ..errors import DataError, HdrbenchError, PeerFailed, UsageError
from ..stopping import Stopped

T = TypeVar("T")


class World(NamedTuple):
    """This process among those that train together. `control` is a group for plain objects."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    control: Any = None

    @property
    def is_rank_zero(self) -> bool:
        return self.rank == 0

    def on_all_ranks(self, run: Callable[[], T]) -> T:
        """Run it in every process; if it fails in any, all fail, and one says why."""
        result, failure = None, None
        try:
            result = run()
        except (HdrbenchError, OSError) as error:
            failure = error
        if self.size > 1:
            codes: list[int | None] = [None] * self.size
            code = _exit_code(failure) if failure else None
            dist.all_gather_object(codes, code, group=self.control)
            failed = [rank for rank, code in enumerate(codes) if code is not None]
            if failed and failed[0] != self.rank:
                raise PeerFailed(codes[failed[0]] or 1) from failure
        if failure is not None:
            raise failure
        return result  # type: ignore[return-value]

    def of_rank_zero(self, log: Callable[[str], None]) -> Callable[[str], None]:
        """What rank 0 says; the others say nothing."""
        return log if self.is_rank_zero else lambda note: None

    def on_rank_zero(self, run: Callable[[], T]) -> T | None:
        """Run it in rank 0 alone, the others wait; None there. If it fails, all fail."""
        return self.on_all_ranks(lambda: run() if self.is_rank_zero else None)

    def all_reduce_mean(self, tensor: Tensor) -> Tensor:
        """The mean over the processes of a tensor without gradient."""
        if self.size > 1:
            dist.all_reduce(tensor)
            tensor /= self.size
        return tensor

    def all_gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value, group=self.control)
        return values

    def broadcast_buffers(self, model: torch.nn.Module) -> None:
        """Give every process rank 0's buffers (batch norm's statistics)."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, HdrbenchError | Stopped):
        return error.exit_code
    return DataError.exit_code


def world_from_environment() -> World:
    """What torchrun says of this process; a world of one where it did not start it."""
    try:
        return World(
            *(
                int(os.environ.get(name, default))
                for name, default in (
                    ("RANK", "0"),
                    ("WORLD_SIZE", "1"),
                    ("LOCAL_RANK", "0"),
                    ("LOCAL_WORLD_SIZE", "1"),
                )
            )
        )
    except ValueError as error:
        raise UsageError(f"RANK, WORLD_SIZE, LOCAL_RANK or LOCAL_WORLD_SIZE: {error}") from None


@contextmanager
def process_group(world: World, device: str) -> Iterator[World]:
    """Connect the processes: NCCL between CUDA devices, gloo between CPUs.

    A process whose peer has ended raises PeerFailed if that peer has said why, and else says what
    it saw itself.
    """
    if world.size == 1:
        yield world
        return
    agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=world.is_rank_zero and not agents,
    )
    backend = "nccl" if device.startswith("cuda") else "gloo"
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    notes = PrefixStore(f"hdrbench/{attempt}/failed", store)
    dist.init_process_group(
        backend,
        store=PrefixStore(f"hdrbench/{attempt}/group", store),
        rank=world.rank,
        world_size=world.size,
    )
    try:
        control = dist.new_group(backend="gloo") if backend == "nccl" else None
        yield world._replace(control=control)
    except PeerFailed:
        raise
    except (HdrbenchError, OSError, Stopped) as error:
        if int(notes.add("count", 1)) > 1:
            raise PeerFailed(_exit_code(error)) from error
        raise
    except RuntimeError as error:
        # A collective that lost its peer, most likely; the peer has left a note before it ended.
        if int(notes.add("count", 1)) > 1:
            raise PeerFailed(1) from error
        first = " ".join(str(error).split())[:300]
        raise HdrbenchError(f"rank {world.rank} of {world.size}: {first}") from error
    finally:
        dist.destroy_process_group()
