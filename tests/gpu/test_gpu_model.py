"""The model on a CUDA device: its graphs (model/captured.py), autocast, half precision."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.model import captured, hdrnet
from hdrnet_bench.model.fast_network import branch, fast_coefficients
from hdrnet_bench.model.lowres import lowres_from_stored, make_lowres
from hdrnet_bench.model.network import CoefficientNetwork

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.usefixtures("full_float32"),
]


FUSED = [torch.float32, torch.float16, torch.uint8]
NARROW = [torch.float16, torch.bfloat16]
VARIANTS = ["curves", "pointwise", "pyramid"]


def network(variant: str = "curves", **settings: Any) -> HDRNet:
    """In evaluation mode, no two weights alike."""
    torch.manual_seed(0)
    model = HDRNet(HDRNetConfig(variant=variant, **settings))  # type: ignore[arg-type]
    with torch.no_grad():
        for tensor in itertools.chain(model.parameters(), model.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor) * 0.005)
    return model.eval().cuda()


def picture(seed: int, height: int = 333, width: int = 509, dtype: Any = torch.float32) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, generator=random)
    levels = (image * 255).round() if dtype == torch.uint8 else image
    return levels.to(dtype).cuda()


def plain(model: HDRNet, image: Tensor) -> Tensor:
    """Launch by launch: a copy has no graphs, and what it sees once it does not capture."""
    other = copy.deepcopy(model)
    output = other.enhance(image)
    assert graphs(other) == 0
    return output


def graphs(model: HDRNet) -> int:
    return sum(graph is not None for graph in model._captured._graphs.values())


def settled(model: HDRNet, image: Tensor) -> Tensor:
    """The picture through a graph, which is there from the second time on."""
    model.enhance(image)
    model.enhance(image)
    assert graphs(model) >= 1
    return model.enhance(image)


@pytest.mark.parametrize("variant", ["curves", "pointwise"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("resize", ["area", "nearest"])
def test_one_graph_serves_all_sizes_and_types(variant: str, batch_norm: bool, resize: str) -> None:
    model = network(variant, batch_norm=batch_norm, lowres_resize=resize)
    sizes = [(333, 512), (1, 1), (700, 509)]
    images = [picture(i, *s, t) for i, (s, t) in enumerate(itertools.product(sizes, FUSED))]
    expected = [plain(model, image) for image in images]
    for _ in range(3):
        for image, wanted in zip(images, expected, strict=True):
            output = model.enhance(image)
            assert output.dtype == image.dtype
            assert torch.equal(output, wanted)
    assert graphs(model) == 1
    pair = torch.stack([images[0], images[0].flip(2)])
    wanted = plain(model, pair)
    for _ in range(3):
        assert torch.equal(model.enhance(pair), wanted)
    assert graphs(model) == 2


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_network_of_fewer_launches_agrees_with_float64(batch_norm: bool) -> None:
    model = network(batch_norm=batch_norm)
    lowres = make_lowres(picture(1)[None], 256, "area").repeat(2, 1, 1, 1)
    # cuDNN is handed memory that nobody has written: what lies there must not come through.
    freed = [torch.full((1 << 22,), torch.nan, device="cuda") for _ in range(8)]
    del freed
    with torch.no_grad(), branch(lowres.device) as part:
        ours = fast_coefficients(model.coefficient_network, lowres, part)
        exact = copy.deepcopy(model).double().coefficients(lowres.double())
    assert float((ours - exact).abs().max()) <= 1e-5 * float(exact.abs().max())


def test_channels_last_in_a_graph() -> None:
    model, image = network(), picture(1)
    before = settled(model, image)
    model.to(memory_format=torch.channels_last)
    assert float((settled(model, image) - before).abs().max()) <= 1e-4
    assert torch.equal(model.enhance(image), plain(model, image))


def test_graph_of_a_picture_with_any_strides_and_results_that_stay() -> None:
    """A result is the caller's own: the next replay does not write over it."""
    model = network()
    first = settled(model, picture(1))
    kept = first.clone()
    interleaved = picture(2).permute(1, 2, 0).contiguous().permute(2, 0, 1)
    second = model.enhance(interleaved)
    assert torch.equal(first, kept)
    assert torch.equal(second, plain(model, picture(2)))


@pytest.mark.parametrize("variant", ["curves", "pointwise"])
def test_each_weight_changed_in_place_shows_in_the_graph(variant: str) -> None:
    model, image = network(variant, batch_norm=True), picture(1)
    before = settled(model, image)
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        with torch.no_grad():
            tensor.add_(torch.randn_like(tensor) * 0.02)
        output = model.enhance(image)
        assert torch.equal(output, plain(model, image)), name
        assert not torch.equal(output, before), name
        before = output
    assert graphs(model) == 1


def test_an_optimiser_s_steps_and_load_state_dict_show_in_the_graph() -> None:
    model, image = network(batch_norm=True), picture(1)
    before = settled(model, image)
    start = copy.deepcopy(model.state_dict())
    entries = list(model._captured._graphs.values())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    lowres = make_lowres(image[None], 256, "area").repeat(2, 1, 1, 1)
    for _ in range(3):
        optimiser.zero_grad()
        model(lowres, image.repeat(2, 1, 1, 1)).square().mean().backward()
        optimiser.step()
    # In training batch norm takes the batch's own mean: nothing is replayed.
    assert model.enhance(torch.stack([image, image])).isfinite().all()
    model.eval()
    after = model.enhance(image)
    assert not torch.equal(after, before)
    assert torch.equal(after, plain(model, image))
    model.load_state_dict(start)
    assert torch.equal(model.enhance(image), before)
    assert [id(e) for e in model._captured._graphs.values()] == [id(e) for e in entries]


def _new_parameter(model: HDRNet) -> None:
    layer = model.coefficient_network.global_dense[2].dense
    layer.bias = nn.Parameter(layer.bias.detach() + 0.5)


def _new_data(model: HDRNet) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data * 1.25


def _new_buffer(model: HDRNet) -> None:
    norm = model.coefficient_network.splat[1].norm
    norm.running_mean = norm.running_mean + 0.5


def _new_module(model: HDRNet) -> None:
    model.guides[0] = copy.deepcopy(model.guides[0])
    with torch.no_grad():
        for parameter in model.guides[0].parameters():
            parameter.mul_(1.25)


def _assigned(model: HDRNet) -> None:
    weights = {k: v * 1.25 if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict(weights, assign=True)


@pytest.mark.parametrize("change", [_new_parameter, _new_data, _new_buffer, _new_module, _assigned])
def test_weights_put_in_place_of_others_get_a_graph_of_their_own(
    change: Callable[[HDRNet], None],
) -> None:
    model, image = network(batch_norm=True), picture(1)
    before = settled(model, image)
    change(model)
    wanted = plain(model, image)
    assert not torch.equal(wanted, before)
    assert torch.equal(model.enhance(image), wanted)
    assert graphs(model) == 0
    assert torch.equal(settled(model, image), wanted)
    assert graphs(model) == 1


def test_a_model_that_moves_leaves_its_graphs_behind() -> None:
    model, image = network(), picture(1)
    before = settled(model, image)
    model.cpu()
    assert graphs(model) == 0
    there = model.enhance(image.cpu())
    assert float((there - before.cpu()).abs().max()) <= 1e-3
    model.cuda()
    assert torch.equal(settled(model, image), before)
    model.half()
    assert graphs(model) == 0
    for _ in range(3):
        assert model.enhance(image.half()).isfinite().all()
    assert graphs(model) == 0


def test_copies_of_a_model_with_graphs() -> None:
    model, image = network(), picture(1)
    before = settled(model, image)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(1.25)
        assert graphs(other) == 0
        wanted = plain(other, image)
        assert torch.equal(settled(other, image), wanted)
        assert not torch.equal(wanted, before)
    assert torch.equal(model.enhance(image), before)
    shallow = copy.copy(model)  # which has the same weights
    assert torch.equal(shallow.enhance(image), before)


def test_two_streams_at_once_have_graphs_of_their_own() -> None:
    model = network()
    images = [picture(1, 900, 1300), picture(2, 900, 1300)]
    expected = [plain(model, image) for image in images]
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    results: list[list[Tensor]] = [[], []]
    torch.cuda.synchronize()
    for _ in range(30):
        for stream, image, outputs in zip(streams, images, results, strict=True):
            with torch.cuda.stream(stream):
                outputs.append(model.enhance(image))
    torch.cuda.synchronize()
    for outputs, wanted in zip(results, expected, strict=True):
        assert all(torch.equal(output, wanted) for output in outputs)
    assert graphs(model) == 2


@pytest.mark.parametrize("own_streams", [False, True])
@pytest.mark.parametrize("own_models", [False, True])
def test_threads_at_once_with_a_graph(own_streams: bool, own_models: bool) -> None:
    count = 4
    model = network()
    models = [copy.deepcopy(model) if own_models else model for _ in range(count)]
    images = [picture(i, 500 + i, 700) for i in range(count)]
    expected = [plain(model, image) for image in images]
    results: list[list[Tensor]] = [[] for _ in range(count)]
    faults: list[BaseException] = []
    start = threading.Barrier(count)
    streams = [torch.cuda.Stream() for _ in range(count)]
    torch.cuda.synchronize()

    def work(index: int) -> None:
        stream = streams[index] if own_streams else torch.cuda.default_stream()
        try:
            start.wait()
            with torch.cuda.stream(stream):
                for _ in range(20):
                    results[index].append(models[index].enhance(images[index]))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.cuda.synchronize()
    assert not faults
    for outputs, wanted in zip(results, expected, strict=True):
        assert len(outputs) == 20
        assert all(torch.equal(output, wanted) for output in outputs)


def test_enhance_in_a_user_s_own_graph_before_and_after_its_own() -> None:
    for used_before in (False, True):
        model, image = network(), picture(1)
        if used_before:
            settled(model, image)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                model.enhance(image)
        torch.cuda.current_stream().wait_stream(side)
        before = graphs(model)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = model.enhance(image)
        assert graphs(model) == before
        image.copy_(picture(2))
        graph.replay()
        torch.cuda.synchronize()
        wanted = plain(model, picture(2))
        assert torch.equal(output, wanted)
        assert torch.equal(settled(model, image), wanted)
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(output, wanted)


def test_a_graph_while_another_thread_captures_one() -> None:
    """torch then replays none: the plain way serves."""
    model, image = network(), picture(1)
    wanted = settled(model, image)
    results: list[Tensor] = []
    other = torch.cuda.Stream()
    torch.cuda.synchronize()

    def work() -> None:
        with torch.cuda.stream(other):
            results.extend(model.enhance(image) for _ in range(2))

    with torch.cuda.stream(other):  # so that it has a graph to replay
        settled(model, image)
    torch.cuda.synchronize()
    counter = torch.zeros(8, device="cuda")
    graph = torch.cuda.CUDAGraph()
    thread = threading.Thread(target=work)
    capturing = torch.cuda.Stream()
    while capturing == other:  # torch has 32, and gives them out in turn
        capturing = torch.cuda.Stream()
    with torch.cuda.graph(graph, stream=capturing, capture_error_mode="thread_local"):
        counter.add_(1)
        thread.start()
        thread.join()
    torch.cuda.synchronize()
    assert len(results) == 2
    assert all(torch.equal(result, wanted) for result in results)
    graph.replay()
    assert counter.tolist() == [1] * 8
    assert torch.equal(model.enhance(image), wanted)


@pytest.mark.parametrize("part", ["", "splat", "local.0", "global_convs.1.conv"])
def test_hooks_are_called_with_a_graph_there(part: str) -> None:
    model, image = network(), picture(1)
    wanted = settled(model, image)
    calls: list[int] = []
    module = model.coefficient_network.get_submodule(part)
    handle = module.register_forward_hook(lambda *_: calls.append(1))
    for count in (1, 2, 3):
        assert float((model.enhance(image) - wanted).abs().max()) <= 1e-4
        assert len(calls) == count
    handle.remove()
    assert torch.equal(model.enhance(image), wanted)
    assert len(calls) == 3


@pytest.mark.parametrize("dtype", NARROW)
def test_graph_under_autocast_and_after_it(dtype: torch.dtype) -> None:
    model, image = network(), picture(1)
    wide = settled(model, image)
    with torch.autocast("cuda", dtype):
        wanted = plain(model, image)
        assert torch.equal(settled(model, image), wanted)
    assert not torch.equal(wanted, wide)
    assert graphs(model) == 2
    # What autocast kept of the weights is gone now, and its memory is for others.
    others = [torch.full((1 << 20,), float("nan"), device="cuda") for _ in range(64)]
    assert torch.equal(model.enhance(image), wide)
    for _ in range(2):
        with torch.autocast("cuda", dtype):
            assert torch.equal(model.enhance(image), wanted)
    assert len(others) == 64
    assert graphs(model) == 2


def test_graph_follows_the_precision_of_convolutions() -> None:
    model, image = network(), picture(1)
    for tf32 in (True, False, True):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=tf32):
            assert torch.equal(settled(model, image), plain(model, image))
    assert graphs(model) == 2


def test_graph_in_inference_mode_and_outside() -> None:
    for first in (True, False):
        model, image = network(), picture(1)
        wanted = plain(model, image)
        for inference in (first, not first, first):
            with torch.inference_mode(inference):
                assert torch.equal(settled(model, image), wanted)
        assert graphs(model) == 1


def test_so_many_graphs_are_kept() -> None:
    model = network(net_input_size=64, spatial_bin=8)
    for batch in (1, 2, 3, 4, 5, 6, 1):
        images = torch.stack([picture(i, 60, 80) for i in range(batch)])
        assert torch.equal(settled(model, images), plain(model, images))
        assert graphs(model) <= captured.MOST
    assert len(model._captured._graphs) == captured.MOST
    assert graphs(model) == captured.MOST
    # More kinds in turn than are kept: nothing is captured again and again.
    for _ in range(3):
        for batch in range(1, captured.MOST + 2):
            images = torch.stack([picture(i, 60, 80) for i in range(batch)])
            assert torch.equal(model.enhance(images), plain(model, images))
    assert graphs(model) == 0


@pytest.mark.parametrize("resize", ["area", "nearest"])
@pytest.mark.parametrize("dtype", FUSED)
def test_enhance_with_a_graph_never_waits_for_the_device(resize: str, dtype: torch.dtype) -> None:
    model, image = network(lowres_resize=resize), picture(1, dtype=dtype)
    wanted = settled(model, image)
    torch.cuda.set_sync_debug_mode("error")
    try:
        output = model.enhance(image)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(output, wanted)


@pytest.mark.parametrize("place", ["flat", "predict"])  # in the graph's branch, and after it
def test_a_graph_that_cannot_be_captured(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = network(), picture(1)
    wanted = plain(model, image)
    method = getattr(CoefficientNetwork, place)
    error: list[type[RuntimeError]] = [torch.OutOfMemoryError]

    def fails(*arguments: Any) -> Tensor:
        result = method(*arguments)
        if torch.cuda.is_current_stream_capturing():
            raise error[0]("not here\nmore of it")
        return result

    monkeypatch.setattr(
        CoefficientNetwork, place, staticmethod(fails) if place == "flat" else fails
    )
    stream = torch.cuda.current_stream()
    assert torch.equal(model.enhance(image), wanted)
    with pytest.raises(torch.OutOfMemoryError, match="not here"):
        model.enhance(image)
    assert torch.cuda.current_stream() == stream
    error[0] = RuntimeError
    # Another thread's capture may have been in the way: it is tried once more, and then no more.
    assert torch.equal(model.enhance(image), wanted)
    with pytest.warns(RuntimeWarning, match=r"CUDA graph \(not here\)$") as caught:
        output = model.enhance(image)
    assert [w.filename for w in caught if "not here" in str(w.message)] == [__file__]
    assert torch.equal(output, wanted)
    assert torch.cuda.current_stream() == stream
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(model.enhance(image), wanted)
    assert graphs(model) == 0
    assert torch.rand(2, device="cuda").shape == (2,)  # random numbers are there again
    other = copy.deepcopy(model)
    assert torch.equal(settled(other, image), wanted)


def test_a_graph_s_grid_may_be_too_large_for_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, image = network(), picture(1)
    wanted = settled(model, image)
    monkeypatch.setattr(hdrnet, "fused_packed", lambda *_: None)
    assert float((model.enhance(image) - wanted).abs().max()) <= 1e-3
    grid = model.coefficients(make_lowres(image[None], 256, "area"))
    rendered = model.render_fast(grid, image[None])[0]
    assert float((model.enhance(image) - rendered).abs().max()) <= 1e-3


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("dtype", FUSED)
def test_nearest_low_res_takes_the_cpu_s_pixels_and_does_not_wait(
    size: int, dtype: torch.dtype
) -> None:
    for height, width in ((333, 509), (2, 1), (size, size)):
        image = picture(1, height, width, dtype)[None]
        torch.cuda.set_sync_debug_mode("error")
        try:
            lowres = lowres_from_stored(image, size, "nearest")
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert lowres.dtype == torch.float32
        # A quotient's last bit may differ between devices.
        expected = lowres_from_stored(image.cpu(), size, "nearest")
        assert float((lowres.cpu() - expected).abs().max()) <= 2e-7


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", NARROW)
def test_the_model_under_autocast(variant: str, dtype: torch.dtype) -> None:
    model = network(variant, net_input_size=32, spatial_bin=8, luma_bins=4)
    lowres, fullres = picture(1, 32, 32)[None], picture(2, 40, 48)[None]
    exact = model(lowres, fullres)
    with torch.autocast("cuda", dtype):
        grid = model.coefficients(lowres)
        output = model(lowres, fullres)
        narrow = model(lowres, fullres.to(dtype))
    assert grid.dtype == dtype
    assert (output.dtype, narrow.dtype) == (torch.float32, dtype)
    bound = 0.05 * float(exact.abs().max())
    assert float((output - exact).abs().max()) <= bound
    assert float((narrow - exact).abs().max()) <= 2 * bound
    output.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16])
def test_half_models_take_integers(variant: str, kind: torch.dtype) -> None:
    model = network(variant, net_input_size=32, spatial_bin=8, luma_bins=4)
    white = torch.iinfo(kind).max
    levels = (picture(1) * white).round().to(torch.int32).to(kind)
    exact = model.enhance(levels).to(torch.int32)
    for dtype in NARROW:
        narrow = copy.deepcopy(model).to(dtype).enhance(levels)
        assert narrow.dtype == kind
        error = (narrow.to(torch.int32) - exact).float() / white
        assert float(error.square().mean().sqrt()) <= (0.01 if dtype == torch.float16 else 0.1)


@pytest.mark.parametrize("dtype", FUSED)
def test_a_grid_of_a_graph_is_the_caller_s(dtype: torch.dtype) -> None:
    model = network()
    images = [picture(seed, dtype=dtype)[None] for seed in range(3)]
    for _ in range(3):  # so that there is a graph
        model.enhance(images[0])
    grids = [model.predict_grid(image) for image in images]
    for grid, image in zip(grids, images, strict=True):
        assert torch.equal(model.apply_grid(grid, image), model.enhance(image))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", FUSED)
def test_frames_of_tensors_and_arrays(variant: str, dtype: torch.dtype) -> None:
    model = network(variant)
    enhancer = model.enhancer(333, 509)
    results = set()
    for seed in range(4):
        frame = picture(seed, dtype=dtype)
        output = enhancer(frame)
        results.add(output.data_ptr())
        assert torch.equal(output, model.enhance(frame))
    assert len(results) == 1
    lying = picture(5, dtype=dtype).permute(1, 2, 0).contiguous()
    expected = model.enhance(lying.permute(2, 0, 1)).permute(1, 2, 0)
    assert torch.equal(enhancer(lying, layout="hwc"), expected)
    array = lying.cpu().numpy()
    made = enhancer(array)
    assert (made.dtype, made.shape) == (array.dtype, array.shape)
    assert torch.equal(torch.from_numpy(made), expected.cpu())


def test_a_result_of_any_strides_and_a_grid_for_all() -> None:
    model = network()
    images = torch.stack([picture(seed) for seed in range(3)])
    grid = model.predict_grid(images[:1])
    out = torch.empty(3, 333, 509, 3, device="cuda").permute(0, 3, 1, 2)
    assert model.apply_grid(grid, images, out) is out
    expected = model.render(grid.expand(3, -1, -1, -1, -1), images, "reference")
    assert float((out - expected).abs().max()) <= 1e-4
    for wrong in (out[:1], out.half(), out.cpu()):
        with pytest.raises(ValueError, match="out is"):
            model.apply_grid(grid, images, wrong)


def test_what_lies_on_the_cpu_is_looked_at_before_it_is_brought_here() -> None:
    model = network()
    with pytest.raises(ValueError, match="to 255"):
        model.enhance(picture(0).permute(1, 2, 0).cpu().numpy() * 0 + 255)


def test_a_model_here_is_exported_from_here() -> None:
    pytest.importorskip("onnx")
    from hdrnet_bench.portable import grid_file
    from hdrnet_bench.portable.models import whole_model

    model = network()
    alike = copy.deepcopy(model).cpu()
    assert grid_file(model) == grid_file(alike)
    graphs = [whole_model(one, "float32").SerializeToString() for one in (model, alike)]
    assert graphs[0] == graphs[1]
