"""The graph in runtimes of other makers: OpenVINO and onnxruntime-web as it is, ncnn by way of its
own converter."""

from __future__ import annotations

import base64
import functools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hdrnet_bench import HDRNet
from hdrnet_bench.portable import write_onnx, write_parts
from tests.conftest import smooth_picture
from tests.file_server import QuietServer
from tests.portable.models import VARIANTS, needs, needs_onnx, random_model
from tests.web import browser

pytestmark = needs_onnx
PROMISED = 1e-4
NPM = Path(sys.prefix) / "onnxruntime-web" / "node_modules"


def paper_sized(variant: str) -> HDRNet:
    return random_model(variant=variant, net_input_size=256, spatial_bin=16, luma_bins=8)


def photograph(height: int, width: int) -> torch.Tensor:
    return torch.tensor(smooth_picture(0, height, width)).permute(2, 0, 1)[None].float() / 255


def difference(model: HDRNet, image: torch.Tensor, output: np.ndarray) -> float:
    expected = model.enhance(image).numpy()
    return float(np.abs(output - expected).max())


@needs("openvino")
@pytest.mark.parametrize("variant", VARIANTS)
def test_openvino(tmp_path: Path, variant: str) -> None:
    import openvino

    core = openvino.Core()

    def compiled(path: Path) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
        # On some processors it would compute in bfloat16 unless it is told not to.
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        network = core.compile_model(core.read_model(path), "CPU", settings)
        return lambda feeds: network(feeds)[0]

    model = paper_sized(variant)
    write_onnx(model, tmp_path / "m.onnx")
    write_parts(model, tmp_path / "m.onnx")
    whole, network, slicing = (
        compiled(tmp_path / name) for name in ("m.onnx", "m-network.onnx", "m-slicing.onnx")
    )
    for size in ((1, 64, 48), (3, 33, 50), (1, 211, 340), (1, 8, 9)):
        noise = torch.rand(size[0], 3, *size[1:])
        assert difference(model, noise, whole({"picture": noise.numpy()})) <= PROMISED, size
    # It divides by multiplying, which moves the places in a pyramid's levels by a rounding: seen in
    # a large picture of noise, 1.2e-4, and not in a photograph.
    image = photograph(1080, 1920)
    assert difference(model, image, whole({"picture": image.numpy()})) <= PROMISED
    grid = network({"picture": image.numpy()})
    assert difference(model, image, slicing({"grid": grid, "picture": image.numpy()})) <= PROMISED


# Of a list of indices, by which a pyramid's levels are resized, pnnx takes the first alone.
@needs("ncnn", "pnnx")
@pytest.mark.parametrize("variant", ["curves", "pointwise"])
def test_ncnn(tmp_path: Path, variant: str) -> None:
    import ncnn

    model, (height, width) = paper_sized(variant), (270, 403)
    write_onnx(model, tmp_path / "m.onnx")
    # ncnn's graphs are of one size.
    shape = f"inputshape=[1,3,{height},{width}]"
    pnnx = Path(sys.prefix) / "bin" / "pnnx"
    converted = subprocess.run(
        [pnnx, "m.onnx", shape, "fp16=0"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert converted.returncode == 0, converted.stderr
    network = ncnn.Net()
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = False
    network.opt.use_fp16_arithmetic = False
    assert network.load_param(str(tmp_path / "m.ncnn.param")) == 0, "a layer that ncnn has not"
    assert network.load_model(str(tmp_path / "m.ncnn.bin")) == 0
    image = torch.rand(1, 3, height, width)
    pixels = np.ascontiguousarray(image[0].numpy())  # which ncnn's matrix does not keep alive
    with network.create_extractor() as extractor:
        extractor.input("in0", ncnn.Mat(pixels))
        status, output = extractor.extract("out0")
    assert status == 0
    assert difference(model, image, np.array(output)[None]) <= PROMISED


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[browser.Driver, Path]]:
    """A browser at a page with onnxruntime-web, and the folder that is served."""
    folder = tmp_path_factory.mktemp("served")
    if not (NPM / "onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is missing: make setup, with npm in PATH")
    (folder / "npm").symlink_to(NPM)
    bundle = "npm/onnxruntime-web/dist/ort.webgpu.min.js"
    (folder / "index.html").write_text(f'<script src="{bundle}"></script>')
    server = QuietServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # WebGPU in software, where there is no graphics processor.
    more = ("enable-unsafe-webgpu", "use-webgpu-adapter=swiftshader", "enable-features=Vulkan")
    try:
        with browser.chromium(tmp_path_factory.mktemp("chromium"), *more) as driver:
            driver.set_script_timeout(120)
            # Chromium takes this machine's own address, and no other, for a safe place: WebGPU
            # is only there.
            driver.get(f"http://localhost:{server.server_port}/index.html")
            yield driver, folder
    finally:
        server.shutdown()


RUN = """
const [file, provider, height, width, values, done] = arguments;
(async () => {
  const bytes = Uint8Array.from(atob(values), (c) => c.charCodeAt(0));
  const picture = new ort.Tensor("float32", new Float32Array(bytes.buffer), [1, 3, height, width]);
  if (provider === "webgpu" && !(await navigator.gpu?.requestAdapter())) return { lacks: true };
  ort.env.wasm.numThreads = 1;
  const options = { executionProviders: [provider] };
  const session = await ort.InferenceSession.create(file, options);
  const { output } = await session.run({ picture });
  const result = new Uint8Array((await output.getData()).buffer);
  let text = "";
  for (const byte of result) text += String.fromCharCode(byte);
  return { output: btoa(text) };
})().then(done, (error) => done({ error: String(error) }));
"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("provider", "variant"),
    [*(("wasm", variant) for variant in VARIANTS), ("webgpu", "curves"), ("webgpu", "pyramid")],
)
def test_onnxruntime_web(page: tuple[browser.Driver, Path], variant: str, provider: str) -> None:
    driver, folder = page
    model = paper_sized(variant)
    file = folder / f"{provider}-{variant}.onnx"  # browsers keep what they had by a name
    write_onnx(model, file)
    image = torch.rand(1, 3, 60, 83)
    values = base64.b64encode(image.numpy().tobytes()).decode()
    found = driver.execute_async_script(RUN, file.name, provider, 60, 83, values)
    if found.get("lacks"):
        pytest.skip("this Chromium has no WebGPU, not even in software")
    assert "error" not in found, found["error"]
    output = np.frombuffer(base64.b64decode(found["output"]), np.float32)
    assert difference(model, image, output.reshape(image.shape)) <= PROMISED
