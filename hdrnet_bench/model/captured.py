"""The low-res half of `HDRNet.enhance` as a CUDA graph: one launch in the place of some forty.

A graph holds the way from a low-res copy (B, 3, S, S) float32 to the grid and the guide's packed
parameters. It reads the weights where they lie, so that an optimiser's step and load_state_dict
show at the next replay; where one is put in another's place, all graphs go. Everything else that
changes what is computed is part of a graph's key.

Two streams never share a graph, since all its kernels write the same memory. A graph takes some
tens of MB: what the layers put out, and cuBLAS's workspace.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

MOST = 4  # graphs of a model; the least recently used goes
_TRIES = 2  # another thread's capture may have been in the way of the first
_WARM_UPS = 3  # cuDNN chooses its algorithms, cuBLAS makes its handle: not possible in a capture

# A process can capture one graph at a time, and replay none meanwhile (torch's random generator
# would refuse). It also keeps together what one picture enqueues: filling, replaying and slicing.
_LOCK = threading.Lock()

T = TypeVar("T")
# The low-res copy, put into a buffer where one is given.
MakeLowres = Callable[[Tensor | None], Tensor]
# Low-res copy to what is kept of it: the grid and the guide's packed parameters.
Predict = Callable[[Tensor], tuple[Tensor, Tensor]]
# What reads both, and enqueues it before it returns.
Use = Callable[[Tensor, Tensor], T]


class _Graph(NamedTuple):
    graph: torch.cuda.CUDAGraph
    lowres: Tensor
    grid: Tensor
    packed: Tensor


class CapturedNetwork:
    """A model's graphs. A copy of it, or one that was pickled, begins without any."""

    def __init__(self) -> None:
        # None for a key that was seen once: only what comes again is worth a capture.
        self._graphs: OrderedDict[Hashable, _Graph | None] = OrderedDict()
        self._weights: tuple[object, ...] = ()
        self._failures = 0
        # Without torch's cache every tensor is asked of the driver, which no capture allows.
        self._refused = "PYTORCH_NO_CUDA_MEMORY_CACHING" in os.environ

    def __deepcopy__(self, memo: object) -> Self:
        return type(self)()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    def run(
        self,
        model: nn.Module,
        shape: tuple[int, int, int, int],
        device: torch.device,
        make_lowres: MakeLowres,
        predict: Predict,
        use: Use[T],
    ) -> T:
        """use(*predict(make_lowres(None))), the first two parts as a graph where that can be.

        Args:
            model: whose weights `predict` reads.
            shape: of the low-res copy, (B, 3, S, S).
            device: of the picture.

        Returns:
            What `use` does; it must not keep the tensors that it is given.

        Raises:
            torch.OutOfMemoryError: no room for a graph.
        """
        if device.type == "cuda" and not torch.compiler.is_compiling() and not self._refused:
            with torch.cuda.device(device), contextlib.suppress(_CannotReplay):
                return self._replay(model, shape, device, make_lowres, predict, use)
        return use(*predict(make_lowres(None)))

    def clear(self) -> None:
        """Let all graphs and their memory go."""
        with _LOCK:
            self._drop(len(self._graphs))

    def _replay(
        self,
        model: nn.Module,
        shape: tuple[int, int, int, int],
        device: torch.device,
        make_lowres: MakeLowres,
        predict: Predict,
        use: Use[T],
    ) -> T:
        if torch.is_grad_enabled() or torch.cuda.is_current_stream_capturing():
            raise _CannotReplay
        weights = weights_state(model)
        if weights is None:
            raise _CannotReplay
        key = (torch.cuda.current_stream().cuda_stream, device, shape, settings())
        with _LOCK:
            with _plain_way_says_why():
                if weights != self._weights:
                    self._drop(len(self._graphs))
                    self._weights = weights
                if key not in self._graphs:
                    self._drop(len(self._graphs) + 1 - MOST)
                    self._graphs[key] = None
                    raise _CannotReplay
            self._graphs.move_to_end(key)
            graph = self._graphs[key]
            if graph is None:
                graph = self._graphs[key] = self._capture(predict, shape, device)
            make_lowres(graph.lowres)
            with _plain_way_says_why():
                graph.graph.replay()
            return use(graph.grid, graph.packed)

    def _drop(self, count: int) -> None:
        """Forget the graphs that were not used for longest, which may still be running."""
        for _ in range(count):
            _, graph = self._graphs.popitem(last=False)
            if graph is not None:
                torch.cuda.synchronize(graph.lowres.device)

    def _capture(
        self, predict: Predict, shape: tuple[int, int, int, int], device: torch.device
    ) -> _Graph:
        try:
            return _captured(predict, shape, device)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._failures += 1
            if self._failures < _TRIES:
                raise _CannotReplay from error
            self._refused = True
            reason = str(error).partition("\n")[0]
            warnings.warn(
                f"enhance on {device} is slower than it could be, its results are the same: its "
                f"network cannot be captured as a CUDA graph ({reason})",
                RuntimeWarning,
                stacklevel=7,  # the line that called enhance
            )
            raise _CannotReplay from error


class _CannotReplay(Exception):
    """The plain way serves, which gives the same bits."""


@contextlib.contextmanager
def _plain_way_says_why() -> Iterator[None]:
    """CUDA refuses calls while another thread captures something of its own. Where the device is at
    fault, the plain way meets the same and says so."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise _CannotReplay from error


def _captured(predict: Predict, shape: tuple[int, int, int, int], device: torch.device) -> _Graph:
    """Of the current stream, which replays it."""
    # torch gives out 32 streams of a priority in turn, and what another thread enqueues on this one
    # would become part of the graph: so one of those that hardly anyone asks for.
    current, side = torch.cuda.current_stream(), torch.cuda.Stream(priority=-1)
    # What inference mode makes cannot be written outside it; and half-precision copies of weights
    # that autocast keeps go with its context, where the graph would still read them.
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(
            "cuda",
            dtype=torch.get_autocast_dtype("cuda"),
            enabled=torch.is_autocast_enabled("cuda"),
            cache_enabled=False,
        ),
    ):
        lowres = torch.zeros(shape, dtype=torch.float32, device=device)
        side.wait_stream(current)
        # Also around the capture: where that fails it leaves its stream the current one.
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                predict(lowres)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                # cuBLAS's workspace belongs to a stream, and would be shared with whatever comes to
                # run on `side`. So it is made anew, in the graph's own memory, and left there.
                _clear_workspaces()
                grid, packed = predict(lowres)
            _clear_workspaces()
        current.wait_stream(side)
    return _Graph(graph, lowres, grid, packed)


def clears_workspaces() -> bool:
    """Whether cuBLAS's workspaces are made anew for a graph and left to it. Before torch 2.10 other
    threads' products may be looking for theirs meanwhile, in a table without a lock: there they are
    shared with what else runs on the graph's stream."""
    return tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 10)


def _clear_workspaces() -> None:
    if clears_workspaces():
        torch._C._cuda_clearCublasWorkspaces()


def weights_state(model: nn.Module) -> tuple[object, ...] | None:
    """Where all weights lie and in which shapes: equal as long as a graph reads the right ones.
    None where a graph would leave something out: hooks, modes that look at each operation, layers
    in training mode."""
    every = nn.modules.module
    if every._global_forward_hooks or every._global_forward_pre_hooks:
        return None
    if torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
        return None
    state: list[object] = []
    modules: list[nn.Module] = [model]
    for module in modules:
        if module.training or module._forward_hooks or module._forward_pre_hooks:
            return None
        state.append(type(module))
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None:  # an address says which device it is of
                state.append((tensor.data_ptr(), tensor.shape, tensor.stride()))
        modules.extend(child for child in module._modules.values() if child is not None)
    return tuple(state)


def settings() -> tuple[object, ...]:
    """What else decides on the bits of a layer's result on CUDA."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    autocast = torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda")
    return (
        cudnn.enabled,
        cudnn.benchmark,
        cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        # From torch 2.9 on; allow_tf32 then raises an error where someone has set these.
        cudnn.conv.fp32_precision if hasattr(cudnn, "conv") else cudnn.allow_tf32,
        matmul.fp32_precision if hasattr(cudnn, "conv") else matmul.allow_tf32,
        matmul.allow_fp16_reduced_precision_reduction,
        matmul.allow_bf16_reduced_precision_reduction,
        getattr(matmul, "allow_fp16_accumulation", None),
        torch.backends.cuda.preferred_blas_library(),
        autocast,
    )
