// Guide, slice and apply as a pass of a fragment shader over a picture's tiles or a video's frame.

const TILE = 1024; // pixels a side at most, also where textures may be larger: the page stays alive

/** Thrown where the graphics processor does not do what it is asked to. */
class GraphicsError extends Error {}

/** @returns a renderer, or null where the browser has no WebGL2 or cannot run the model in it */
function createRenderer(model) {
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false });
  if (!gl) return null;
  // A pyramid's levels are added up in textures of floats.
  if (model.variant === "pyramid" && !gl.getExtension("EXT_color_buffer_float")) return null;
  const programs = model.guides.map((guide, level) => compile(gl, model, guide, level));
  const resize = model.variant === "pyramid" ? link(gl, RESIZE) : null;
  if (programs.includes(null) || (model.variant === "pyramid" && !resize)) return null;
  gl.bindVertexArray(gl.createVertexArray());
  return {
    gl,
    canvas,
    model,
    programs,
    resize,
    largest: gl.getParameter(gl.MAX_TEXTURE_SIZE),
    target: gl.createFramebuffer(),
    textures: new Map(),
    grid: null,
  };
}

/** Whether a picture of that size goes through the shader: a pyramid's only in one piece. */
function fits(renderer, width, height) {
  return renderer.model.variant !== "pyramid" || Math.max(width, height) <= renderer.largest;
}

/**
 * Enhance a picture tile by tile.
 *
 * @param {{data: Uint8ClampedArray, width: number, height: number}} picture RGBA
 * @param {Float32Array} grid of `predictGrid`
 * @param {{strength: number, show: "output"|"guide", onProgress: function(number)}} options
 * @returns {Promise<Uint8ClampedArray>} RGBA
 */
async function renderTiles(renderer, picture, grid, { strength, show, onProgress }) {
  const { gl, model } = renderer;
  const { width, height } = picture;
  const bytes = new Uint8Array(picture.data.buffer, picture.data.byteOffset, picture.data.length);
  const out = new Uint8Array(bytes.length);
  const whole = model.variant === "pyramid";
  const side = whole ? Math.max(width, height) : Math.min(TILE, renderer.largest);
  try {
    for (const tile of tiles(width, height, side)) {
      // Others may have drawn while this waited: everything is set anew.
      inMemory(gl, "UNPACK", width, tile);
      upload(renderer, "picture", gl.RGBA8, tile.width, tile.height, bytes);
      inMemory(gl, "UNPACK", 0, { x: 0, y: 0 });
      setGrid(renderer, grid);
      const coarser = whole && show === "output" ? renderLevels(renderer, width, height) : null;
      attach(renderer, "output", gl.RGBA8, tile.width, tile.height);
      draw(renderer, 0, { width, height, tile, coarser, strength, show, texture: "picture" });
      inMemory(gl, "PACK", width, tile);
      gl.readPixels(0, 0, tile.width, tile.height, gl.RGBA, gl.UNSIGNED_BYTE, out);
      check(gl);
      onProgress(tile.share);
      await pause();
    }
  } finally {
    release(renderer);
  }
  return new Uint8ClampedArray(out.buffer);
}

/** A bitmap's pixels as they are stored: RGBA, alpha not premultiplied. */
async function readTiles(renderer, bitmap, onProgress) {
  const { gl } = renderer;
  const { width, height } = bitmap;
  const out = new Uint8Array(width * height * 4);
  try {
    for (const tile of tiles(width, height, Math.min(TILE, renderer.largest))) {
      const part = await createImageBitmap(bitmap, tile.x, tile.y, tile.width, tile.height, {
        premultiplyAlpha: "none",
      });
      gl.bindTexture(gl.TEXTURE_2D, texture(renderer, "bitmap").id);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, part);
      part.close();
      drawTo(renderer, "bitmap");
      inMemory(gl, "PACK", width, tile);
      gl.readPixels(0, 0, tile.width, tile.height, gl.RGBA, gl.UNSIGNED_BYTE, out);
      check(gl);
      onProgress(tile.share);
    }
  } finally {
    release(renderer);
  }
  return new Uint8ClampedArray(out.buffer);
}

/** A picture's tiles; share: of the picture, that is done with this tile. */
function* tiles(width, height, side) {
  for (let y = 0; y < height; y += side) {
    for (let x = 0; x < width; x += side) {
      const tile = { x, y, width: Math.min(side, width - x), height: Math.min(side, height - y) };
      const done = y * width + (x + tile.width) * tile.height;
      yield { ...tile, share: done / (width * height) };
    }
  }
}

/** Whether all went well until now; it waits for the processor. */
function check(gl) {
  const error = gl.getError();
  if (error === gl.NO_ERROR) return;
  const reasons = {
    [gl.CONTEXT_LOST_WEBGL]: "the browser took WebGL2 away",
    [gl.OUT_OF_MEMORY]: "the graphics processor has too little memory for it",
  };
  throw new GraphicsError(reasons[error] ?? `WebGL2 failed (error ${error})`);
}

/** Give back the memory of a picture. */
function release({ gl, textures }) {
  for (const [name, { id }] of textures) {
    if (name === "grid" || name === "frame") continue;
    gl.deleteTexture(id);
    textures.delete(name);
  }
}

/** Draw a video's frame, enhanced, into the renderer's canvas. */
function renderVideo(renderer, video, width, height, grid) {
  const { gl, canvas, model } = renderer;
  const isFirst = canvas.width !== width || canvas.height !== height;
  if (isFirst) [canvas.width, canvas.height] = [width, height];
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(gl.TEXTURE_2D, texture(renderer, "frame").id);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, video);
  setGrid(renderer, grid);
  const coarser =
    model.variant === "pyramid" ? renderLevels(renderer, width, height, "frame") : null;
  gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  const tile = { x: 0, y: 0, width, height };
  draw(renderer, 0, {
    width,
    height,
    tile,
    coarser,
    strength: 1, // the page lays it over the video
    show: "output",
    texture: "frame",
    upright: true,
  });
  if (isFirst) check(gl); // to wait for each frame would cost some
}

/** What a pyramid's coarser levels make: the name of a texture at half the picture's size. */
function renderLevels(renderer, width, height, picture = "picture") {
  const { gl } = renderer;
  const sizes = [0, 1, 2].map((level) => [width >> level, height >> level]);
  let before = picture;
  for (const level of [1, 2]) {
    attach(renderer, `level ${level}`, gl.RGBA32F, ...sizes[level]);
    gl.useProgram(renderer.resize);
    bind(renderer, renderer.resize, { picture: before });
    uniforms(gl, renderer.resize, { size: sizes[level], old: sizes[level - 1] });
    drawAll(gl, ...sizes[level]);
    before = `level ${level}`;
  }
  let coarser = null;
  for (const level of [2, 1]) {
    const [wide, high] = sizes[level];
    attach(renderer, `output ${level}`, gl.RGBA32F, wide, high);
    const tile = { x: 0, y: 0, width: wide, height: high };
    draw(renderer, level, {
      width: wide,
      height: high,
      tile,
      coarser,
      strength: 1,
      show: "level",
      texture: `level ${level}`,
    });
    coarser = `output ${level}`;
  }
  return coarser;
}

/** One pass of a level's program over a tile. */
function draw(
  renderer,
  level,
  { width, height, tile, coarser, strength, show, texture: name, upright },
) {
  const { gl } = renderer;
  const program = renderer.programs[level];
  gl.useProgram(program);
  // Where there is no coarser level, any texture is bound in its place; it is not read.
  bind(renderer, program, { picture: name, grid: "grid", coarser: coarser ?? "grid" });
  const { width: wide, height: high } = coarser
    ? texture(renderer, coarser)
    : { width: 0, height: 0 };
  uniforms(gl, program, {
    size: [width, height],
    origin: [tile.x, tile.y],
    coarserSize: [wide, high],
    show: [SHOW[show]],
    upright: [upright ? 1 : 0],
  });
  gl.uniform1f(gl.getUniformLocation(program, "strength"), strength);
  drawAll(gl, tile.width, tile.height);
}

function drawAll(gl, width, height) {
  gl.viewport(0, 0, width, height);
  gl.drawArrays(gl.TRIANGLES, 0, 3);
}

/** Integer uniforms, of one or two components. */
function uniforms(gl, program, values) {
  for (const [name, value] of Object.entries(values)) {
    gl[`uniform${value.length}i`](gl.getUniformLocation(program, name), ...value);
  }
}

/** Textures, by name, for the program's samplers. */
function bind(renderer, program, samplers) {
  const { gl } = renderer;
  Object.entries(samplers).forEach(([sampler, name], unit) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture(renderer, name).id);
    gl.uniform1i(gl.getUniformLocation(program, sampler), unit);
  });
}

/** A texture of that size that is drawn to from now on. */
function attach(renderer, name, format, width, height) {
  upload(renderer, name, format, width, height, null);
  drawTo(renderer, name);
}

function drawTo(renderer, name) {
  const { gl, target } = renderer;
  gl.bindFramebuffer(gl.FRAMEBUFFER, target);
  const { id } = texture(renderer, name);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, id, 0);
  if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) {
    check(gl); // the reason, where there is one
    throw new GraphicsError("WebGL2 cannot draw into a texture of that size");
  }
}

function upload(renderer, name, format, width, height, data) {
  const { gl } = renderer;
  const to = texture(renderer, name);
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(gl.TEXTURE_2D, to.id);
  const same = to.width === width && to.height === height;
  [to.width, to.height] = [width, height];
  const type = format === gl.RGBA8 ? gl.UNSIGNED_BYTE : gl.FLOAT;
  if (same && !data) return;
  if (same) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RGBA, type, data);
  else gl.texImage2D(gl.TEXTURE_2D, 0, format, width, height, 0, gl.RGBA, type, data);
}

function texture({ gl, textures }, name) {
  if (!textures.has(name)) {
    const id = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, id);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
    }
    for (const axis of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
      gl.texParameteri(gl.TEXTURE_2D, axis, gl.CLAMP_TO_EDGE);
    }
    textures.set(name, { id, width: 0, height: 0 });
  }
  return textures.get(name);
}

/** The grid as a texture, columns x outputs wide, depth x rows high: a texel is a matrix's row. */
function setGrid(renderer, grid) {
  if (renderer.grid === grid) return;
  const { gl, model } = renderer;
  const { depth, rows, columns, outputs } = model.grid;
  upload(renderer, "grid", gl.RGBA32F, columns * outputs, depth * rows, grid);
  renderer.grid = grid;
}

/** Where a tile lies in an array of a picture's pixels. kind: UNPACK to read it, PACK to write. */
function inMemory(gl, kind, width, { x, y }) {
  gl.pixelStorei(gl[`${kind}_ROW_LENGTH`], width);
  gl.pixelStorei(gl[`${kind}_SKIP_PIXELS`], x);
  gl.pixelStorei(gl[`${kind}_SKIP_ROWS`], y);
}

/** A level's program, null where it does not fit in this processor. */
function compile(gl, model, guide, level) {
  const isCurves = model.variant === "curves";
  const count = isCurves ? guide.shifts[0].length : guide.first.length;
  // Two arrays of vectors, and some more.
  if (2 * count + 16 > gl.getParameter(gl.MAX_FRAGMENT_UNIFORM_VECTORS)) return null;
  const { depth, rows, columns, outputs } = model.grid;
  const constants = { COUNT: count, DEPTH: depth, ROWS: rows, COLUMNS: columns, OUTPUTS: outputs };
  constants.FIRST_ROW = outputs - 3 * (level + 1); // the coarsest level's stand first
  const defines = Object.entries(constants).map(([name, value]) => `#define ${name} ${value}`);
  const program = link(
    gl,
    [...defines, isCurves ? CURVES : POINTWISE, NEIGHBOURS, SLICE].join("\n"),
  );
  if (!program) return null;
  gl.useProgram(program);
  const set = (kind, name, values) =>
    gl[`uniform${kind}`](gl.getUniformLocation(program, name), values.flat());
  if (isCurves) {
    // The guide is colour @ matrix, the shader's matrix * colour: rows are columns there, which is
    // the order in which GLSL takes the numbers.
    gl.uniformMatrix3fv(gl.getUniformLocation(program, "matrix"), false, guide.matrix.flat());
    set("3fv", "bias", guide.bias);
    const points = (curve) => Array.from({ length: count }, (_, k) => curve.map((of) => of[k]));
    set("3fv", "shifts", points(guide.shifts));
    set("3fv", "slopes", points(guide.slopes));
    set("4fv", "mixing", [...guide.mix, guide.mix_bias]);
  } else {
    set(
      "4fv",
      "first",
      guide.first.map((weights, k) => [...weights, guide.first_bias[k]]),
    );
    set("1fv", "second", guide.second);
    set("1fv", "secondBias", [guide.second_bias]);
  }
  return program;
}

function link(gl, source) {
  const program = gl.createProgram();
  const shaders = [
    [gl.VERTEX_SHADER, `${HEAD}\n${TRIANGLE}`],
    [gl.FRAGMENT_SHADER, `${HEAD}\n${source}`],
  ].map(([kind, text]) => {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
    return shader;
  });
  gl.linkProgram(program);
  if (gl.getProgramParameter(program, gl.LINK_STATUS)) return program;
  for (const shader of shaders) console.warn(gl.getShaderInfoLog(shader));
  return null;
}
