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
    readBitmap,
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
    try {
      return await renderTiles(renderer, picture, grid, options);
    } catch (error) {
      if (!(error instanceof GraphicsError)) throw error;
      leaveWebGl(error.message);
      return null;
    }
  }

  /** A bitmap's RGBA, alpha not premultiplied; null where there is no WebGL2, which gives it. */
  async function readBitmap(bitmap, onProgress) {
    if (!renderer) return null;
    try {
      return await readTiles(renderer, bitmap, onProgress);
    } catch (error) {
      if (!(error instanceof GraphicsError)) throw error;
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
  function renderFrame(video, width, height, grid) {
    if (!renderer || Math.max(width, height) > renderer.largest) return false;
    try {
      renderVideo(renderer, video, width, height, grid);
      return true;
    } catch (error) {
      if (!(error instanceof GraphicsError)) throw error;
      leaveWebGl(error.message);
      return false;
    }
  }

  return engine;
}

/** A worker of that source: a function that asks it, {task, ...} to {result, milliseconds}. */
function startWorker(source) {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  const asked = new Map();
  let last = 0;
  let broken = null;
  worker.onmessage = ({ data }) => {
    const { resolve, reject } = asked.get(data.id);
    asked.delete(data.id);
    if ("error" in data) reject(new Error(data.error));
    else resolve(data);
  };
  worker.onerror = worker.onmessageerror = (event) => {
    broken = new Error(`the worker broke: ${event.message ?? event.type}. Load the page again.`);
    for (const { reject } of asked.values()) reject(broken);
    asked.clear();
  };
  return (message, transfer = []) =>
    new Promise((resolve, reject) => {
      if (broken) {
        reject(broken);
        return;
      }
      const id = ++last;
      asked.set(id, { resolve, reject });
      worker.postMessage({ id, ...message }, transfer);
    });
}

/** Base64 to bytes. */
function decoded(text) {
  const characters = atob(text.trim());
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes.buffer;
}
