"""The file of guides and grids, read by its description; and the shader, in a real browser."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from hdrnet_bench.model import pyramid
from hdrnet_bench.model.lowres import make_lowres
from hdrnet_bench.portable import grid_file, shader_source
from tests.conftest import smooth_picture
from tests.portable.models import VARIANTS, random_model
from tests.web import browser


class Contents(NamedTuple):
    """As the chapter describes them. guides, grids: fine to coarse; a grid (3, D, GH, GW, 4)."""

    hidden: int
    guides: list[dict[str, np.ndarray]]
    grids: list[np.ndarray]


def parsed(content: bytes) -> Contents:
    magic, version, levels, depth, rows, columns, hidden, has_grid = struct.unpack_from(
        "<4s7I", content
    )
    assert (magic, version) == (b"HDRG", 1)
    numbers = np.frombuffer(content, "<f4", offset=32)

    def take(*shape: int) -> np.ndarray:
        nonlocal numbers
        count = int(np.prod(shape))
        taken, numbers = numbers[:count], numbers[count:]
        assert taken.size == count, "the file is too short"
        return taken.reshape(shape)

    def guide() -> dict[str, np.ndarray]:
        if hidden:
            shapes = {"first": (hidden, 4), "second": (hidden,), "second_bias": ()}
        else:
            shapes = {"ccm": (3, 3), "ccm_bias": (3,), "shifts": (16, 3), "slopes": (16, 3)}
            shapes |= {"mixing": (3,), "mixing_bias": ()}
        return {name: take(*shape) for name, shape in shapes.items()}

    guides = [guide() for _ in range(levels)]
    grids = [take(3, depth, rows, columns, 4) for _ in range(levels * has_grid)]
    assert numbers.size == 0, "the file goes on"
    return Contents(hidden, guides, grids)


def guide_of(contents: Contents, level: int, picture: np.ndarray) -> np.ndarray:
    """(3, H, W) float64 -> (H, W)."""
    guide = {name: value.astype(np.float64) for name, value in contents.guides[level].items()}
    if contents.hidden:
        weights, bias = guide["first"][:, :3], guide["first"][:, 3]
        hidden = np.maximum(np.tensordot(weights, picture, 1) + bias[:, None, None], 0)
        return 1 / (1 + np.exp(-np.tensordot(guide["second"], hidden, 1) - guide["second_bias"]))
    x = np.tensordot(guide["ccm"].T, picture, 1) + guide["ccm_bias"][:, None, None]
    above = np.maximum(x - guide["shifts"][:, :, None, None], 0)
    curves = (guide["slopes"][:, :, None, None] * above).sum(0)
    return np.clip(np.tensordot(guide["mixing"], curves, 1) + guide["mixing_bias"], 0, 1)


def grid_of(model: Any, image: torch.Tensor) -> torch.Tensor:
    size, resize = model.config.net_input_size, model.config.lowres_resize
    with torch.no_grad():
        return model.coefficients(make_lowres(image, size, resize))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_file_holds_what_slices_a_picture(variant: str) -> None:
    model = random_model(variant=variant, batch_norm=True)
    image = torch.rand(1, 3, 48, 60, generator=torch.Generator().manual_seed(0))
    grid = grid_of(model, image)
    contents = parsed(grid_file(model, grid))
    levels = pyramid.level_grids(grid) if variant == "pyramid" else [grid]
    assert len(contents.grids) == len(contents.guides) == len(levels)
    for found, level in zip(contents.grids, levels, strict=True):
        for row in range(3):
            for column in range(4):
                # Channel o * 4 + i of the model's grid is row o, column i of the matrices.
                ours = level[0, row * 4 + column].numpy()
                assert np.array_equal(found[row, ..., column], ours)
    guides = model.guide(image)
    for level, guide in enumerate(guides if variant == "pyramid" else [guides]):
        sizes = pyramid.level_sizes(48, 60)
        small = pyramid.downsample(image, sizes, pyramid.resize)[level]
        computed = guide_of(contents, level, small[0].double().numpy())
        assert np.abs(computed - guide[0].detach().numpy()).max() <= 1e-5


def test_without_a_picture_it_holds_the_guide_alone() -> None:
    model = random_model()
    content = grid_file(model)
    assert parsed(content).grids == []
    grid = torch.zeros(1, 12, 4, 8, 8)
    assert grid_file(model, grid)[32 : len(content)] == content[32:]


@pytest.mark.parametrize(
    "shape", [(2, 12, 4, 8, 8), (1, 36, 4, 8, 8), (1, 12, 4, 8), (12, 4, 8, 8)]
)
def test_a_grid_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not \(1, 12, 4, 8, 8\)"):
        grid_file(random_model(), torch.zeros(shape))


RENDER = """
const [shader, file, picture, width, height] = arguments;
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const content = bytes(file).buffer;
const [, , depth, rows, columns, hidden] = new Uint32Array(content, 4, 6);
const numbers = new Float32Array(content, 32);
let at = 0;
const take = (count) => numbers.subarray(at, (at += count));
const gl = document.createElement("canvas").getContext("webgl2");
gl.getExtension("EXT_color_buffer_float");
const version = "#version 300 es\\nprecision highp float;\\nprecision highp int;\\n";
const sources = [
  [gl.VERTEX_SHADER, version + `void main() {
    gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0); }`],
  [gl.FRAGMENT_SHADER, version + (hidden ? `#define HIDDEN ${hidden}\\n` : "") + shader + `
    uniform highp sampler2D picture;
    out vec4 result;
    void main() {
      ivec2 pixel = ivec2(gl_FragCoord.xy);
      vec2 place = (vec2(pixel) + 0.5) / vec2(textureSize(picture, 0));
      result = vec4(enhanced(texelFetch(picture, pixel, 0).rgb, place), 1.0);
    }`],
];
const program = gl.createProgram();
for (const [kind, source] of sources) {
  const one = gl.createShader(kind);
  gl.shaderSource(one, source);
  gl.compileShader(one);
  if (!gl.getShaderParameter(one, gl.COMPILE_STATUS)) return { error: gl.getShaderInfoLog(one) };
  gl.attachShader(program, one);
}
gl.linkProgram(program);
gl.useProgram(program);
const set = (kind, name, ...values) =>
  gl[`uniform${kind}`](gl.getUniformLocation(program, name), ...values);
if (hidden) {
  set("4fv", "first", take(4 * hidden));
  set("1fv", "second", take(hidden));
  set("1fv", "second_bias", take(1));
} else {
  set("Matrix3fv", "ccm", false, take(9));
  set("3fv", "ccm_bias", take(3));
  set("3fv", "shifts", take(48));
  set("3fv", "slopes", take(48));
  set("3fv", "mixing", take(3));
  set("1fv", "mixing_bias", take(1));
}
["red_row", "green_row", "blue_row"].forEach((name, unit) => {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_3D, gl.createTexture());
  gl.texParameteri(gl.TEXTURE_3D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_3D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  gl.texImage3D(gl.TEXTURE_3D, 0, gl.RGBA32F, columns, rows, depth, 0, gl.RGBA, gl.FLOAT,
    take(depth * rows * columns * 4));
  set("1i", name, unit);
});
const flat = (unit, data) => {
  const texture = gl.createTexture();
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, data);
  return texture;
};
flat(3, new Float32Array(bytes(picture).buffer));
set("1i", "picture", 3);
gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
const target = flat(4, null);
gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target, 0);
gl.viewport(0, 0, width, height);
gl.drawArrays(gl.TRIANGLES, 0, 3);
const output = new Float32Array(width * height * 4);
gl.readPixels(0, 0, width, height, gl.RGBA, gl.FLOAT, output);
let text = "";
for (const byte of new Uint8Array(output.buffer)) text += String.fromCharCode(byte);
return { output: btoa(text), fault: gl.getError() };
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Driver]:
    with browser.chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.mark.browser
@pytest.mark.parametrize("variant", ["curves", "pointwise"])
def test_the_shader_is_enhance(driver: browser.Driver, variant: str) -> None:
    model = random_model(variant=variant)
    pixels = smooth_picture(3, 37, 52).astype(np.float32) / 255
    image = torch.tensor(pixels).permute(2, 0, 1)[None]
    content = grid_file(model, grid_of(model, image))
    opaque = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=2)
    encoded = [base64.b64encode(part).decode() for part in (content, opaque.tobytes())]
    found = driver.execute_script(RENDER, shader_source(), *encoded, 52, 37)
    assert "error" not in found, found["error"]
    assert found["fault"] == 0
    output = np.frombuffer(base64.b64decode(found["output"]), np.float32).reshape(37, 52, 4)
    expected = model.enhance(image, backend="reference")[0].permute(1, 2, 0).numpy()
    assert np.abs(output[..., :3] - expected).max() <= 1e-4
