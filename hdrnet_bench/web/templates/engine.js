// What computes: the network in a worker, the picture in WebGL2 where the browser has it, else in
// the worker too.

const STRIP = 1 << 19; // pixels that the worker is given at a time, so that progress can be shown

/**
 * @param {object} model of the page
 * @returns {Promise<object>} the engine: see `predict`, `render` and `renderFrame`; `path` is what
 *   pictures go through, "WebGL2" or "JavaScript", and `onPathChange(reason)` is called when it
 *   changes; `canvas` is what `renderFrame` draws in
 */
async function createEngine(model) {
  const ask = startWorker(document.getElementById("worker").textContent);
  const weights = decoded(document.getElementById("weights").textContent);
  await ask({ task: "start", model, weights }, [weights]);
  let renderer = createRenderer(model);

  const engine = {
    path: renderer ? "WebGL2" : "JavaScript",
    canvas: renderer?.canvas ?? null,
    onPathChange: () => {},
    predict,
    render,
    renderFrame,
  };

  const leaveWebGl = (reason) => {
    if (!renderer) return;
    renderer = null;
    engine.path = "JavaScript";
    engine.onPathChange(reason);
  };
  engine.canvas?.addEventListener("webglcontextlost", () =>
    leaveWebGl("the browser took WebGL2 away"),
  );

  /** A picture's grid: {grid: Float32Array, milliseconds}. */
  async function predict(picture) {
    const { result, milliseconds } = await ask({ task: "predict", picture });
    return { grid: result, milliseconds };
  }

  /**
   * A picture enhanced: {picture, milliseconds}.
   *
   * @param {{strength?: number, show?: "output"|"guide", onProgress?: function(number)}} options
   *   what onProgress throws ends it
   */
  async function render(picture, grid, options = {}) {
    const all = { strength: 1, show: "output", onProgress: () => {}, ...options };
    const { width, height } = picture;
    if (model.variant === "pyramid" && Math.min(width, height) < 4) {
      throw new Error(`a pyramid needs pictures of 4 x 4 pixels, not ${width} x ${height}`);
    }
    const before = performance.now();
    const data = (await byWebGl(picture, grid, all)) ?? (await byWorker(picture, grid, all));
    return { picture: { data, width, height }, milliseconds: performance.now() - before };
  }

  async function byWebGl(picture, grid, options) {
    if (!renderer || !fits(renderer, picture.width, picture.height)) return null;
    const of = renderer;
    try {
      return await renderTiles(of, picture, grid, options);
    } catch (error) {
      if (!of.gl.isContextLost()) throw error;
      leaveWebGl(error.message);
      return null;
    }
  }

  async function byWorker(picture, grid, { strength, show, onProgress }) {
    const { data, width, height } = picture;
    const step = model.variant === "pyramid" ? height : Math.max(1, Math.floor(STRIP / width));
    const out = new Uint8ClampedArray(data.length);
    for (let first = 0; first < height; first += step) {
      const rows = Math.min(step, height - first);
      const part = data.slice(first * width * 4, (first + rows) * width * 4);
      const strip = { data: part, width, height: rows };
      const message = { task: "enhance", strip, first, height, grid, options: { strength, show } };
      out.set((await ask(message, [part.buffer])).result, first * width * 4);
      onProgress((first + rows) / height);
    }
    return out;
  }

  /** Draw a video's frame, enhanced, in `canvas`. Returns false where there is no WebGL2 for it. */
  function renderFrame(video, width, height, grid, strength) {
    if (!renderer || Math.max(width, height) > renderer.largest) return false;
    renderVideo(renderer, video, width, height, grid, strength);
    return true;
  }

  return engine;
}

/** A worker of that source: a function that asks it, {task, ...} to {result, milliseconds}. */
function startWorker(source) {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  const asked = new Map();
  let last = 0;
  worker.onmessage = ({ data: { id, error, ...answer } }) => {
    const { resolve, reject } = asked.get(id);
    asked.delete(id);
    if (error) reject(new Error(error));
    else resolve(answer);
  };
  worker.onerror = (event) => {
    for (const { reject } of asked.values()) reject(new Error(event.message));
    asked.clear();
  };
  return (message, transfer = []) =>
    new Promise((resolve, reject) => {
      const id = ++last;
      asked.set(id, { resolve, reject });
      worker.postMessage({ id, ...message }, transfer);
    });
}

/** Base64 to bytes. */
function decoded(text) {
  return Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0)).buffer;
}
