// Start and state: what was opened, and what is rendered and shown of it.

const byId = (id) => document.getElementById(id);
const model = JSON.parse(byId("model").textContent);

const state = {
  engine: null,
  starting: null, // fulfilled when the engine is there
  turn: 0, // of the newest picture or camera asked for: what is older gives way
  reading: 0, // the turn whose file is being read
  asking: 0, // the turn that asks for the camera
  painting: 0, // likewise of the newest view
  source: null, // of `asSource`
  shown: null, // of `showPictures`
  camera: null, // of `startCamera`
  view: "result", // or "guide", "grid"
  zoomed: false, // to 100 %
};

/** Thrown where something newer has been asked for. */
class Superseded extends Error {}

async function start() {
  connectStage();
  connectControls();
  connectOpening();
  state.starting = createEngine(model).then(connectEngine);
  const sample = document.querySelector(".sample");
  if (sample) openSample(sample);
  else setIdle();
  arrange();
  try {
    await state.starting;
  } catch (error) {
    say(`The page cannot compute in this browser: ${error.message}`, "error");
  }
}

function connectEngine(engine) {
  state.engine = engine;
  engine.onPathChange = (reason) =>
    say(`JavaScript goes on, more slowly: ${reason}. Load the page again to try WebGL2 again.`);
  if (!engine.canvas) return;
  // Frames of the camera are drawn in it. It lies where enhanced pictures do.
  engine.canvas.id = "live";
  engine.canvas.className = "after";
  engine.canvas.hidden = true;
  engine.canvas.setAttribute("role", "img");
  engine.canvas.setAttribute("aria-label", "The enhanced video");
  byId("after").after(engine.canvas);
}

/**
 * Read a picture and show it enhanced. One that cannot be read leaves the last one in place.
 *
 * @param {string} name for what is said of it
 * @param {function(function(number)): Promise<object>} read gives a source, given onProgress
 * @param {string} [remark] said once it is read
 */
async function openPicture(name, read, remark = "") {
  const turn = ++state.turn;
  say(remark);
  setBusy(`Reading ${name}`);
  state.reading = turn;
  let source = null;
  try {
    source = await read((share) => {
      if (turn !== state.turn) throw new Superseded();
      setBusy(`Reading ${name}`, share);
    });
  } catch (error) {
    if (turn !== state.turn) return;
    fail(error);
  }
  if (turn !== state.turn) return;
  state.reading = 0;
  try {
    if (source) {
      stopCamera();
      Object.assign(state, { source, zoomed: false });
      showSource(source);
    }
    // Without a new one the one before goes on, which this may have stopped half-way.
    if (state.source && !state.camera) await enhanceSource(turn);
    // What was said meanwhile, as that JavaScript goes on, stays.
    const isSaid = byId("status").textContent !== "";
    if (turn === state.turn && source && !isSaid) say(`${name} is enhanced.`, "quiet");
  } catch (error) {
    if (turn === state.turn) fail(error);
  }
}

/** Predict the source's grid, where it is not there yet, and show it enhanced. */
async function enhanceSource(turn) {
  const { source } = state;
  arrange();
  if (!source.grid) {
    showPictures(source.view, null, false);
    setBusy("The network looks at the picture");
    await state.starting;
    const { grid, milliseconds } = await state.engine.predict(source.full);
    Object.assign(source, { grid, networkTime: milliseconds });
  }
  if (turn === state.turn) await paint();
}

/** Show the source as the view wants it: rendered now, if it has not been. */
async function paint() {
  const { source, zoomed, view } = state;
  const painting = ++state.painting;
  const isCurrent = () => painting === state.painting && source === state.source && !state.camera;
  arrange();
  if (!source?.grid || state.camera) return;
  if (view === "grid") {
    drawGrid(source.grid, model, byId("tiles"), source.full.width / source.full.height);
    if (state.reading !== state.turn) setIdle();
    return;
  }
  const before = zoomed ? source.full : source.view;
  try {
    const show = view === "guide" ? "guide" : "output";
    const layer = await renderLayer(source, before, show, isCurrent);
    if (!isCurrent()) return;
    showPictures(before, layer.picture, zoomed);
    sayTimes(source, layer);
    if (state.reading !== state.turn) setIdle();
  } catch (error) {
    if (isCurrent()) throw error;
  }
}

/** A picture of the source as the engine makes it: {picture, milliseconds, path}. */
async function renderLayer(source, before, show, isCurrent) {
  const key = `${show} ${sizeText(before)}`;
  const known = source.layers.get(key);
  if (known) return known;
  showPictures(before, null, before !== source.view);
  const onProgress = (share) => {
    if (!isCurrent()) throw new Superseded();
    setBusy("Rendering", share);
  };
  onProgress(0);
  const rendered = await state.engine.render(before, source.grid, { show, onProgress });
  const layer = { ...rendered, path: state.engine.path };
  // Of the picture at full size one is kept at a time: it may be large.
  const other = show === "guide" ? "output" : "guide";
  if (before !== source.view) source.layers.delete(`${other} ${sizeText(before)}`);
  source.layers.set(key, layer);
  if (isCurrent()) fadeIn(byId("after"));
  return layer;
}

/** Another view or size. */
async function choose(change) {
  Object.assign(state, change);
  try {
    await paint();
  } catch (error) {
    fail(error);
  }
}

/** Back from the camera to the picture before it. */
async function leaveCamera(message = "", kind = "notice") {
  const turn = ++state.turn;
  stopCamera();
  say(message, kind);
  arrange();
  try {
    if (!state.source) setIdle();
    else {
      showSource(state.source);
      await enhanceSource(turn);
    }
  } catch (error) {
    if (turn === state.turn) fail(error);
  }
}

function fail(error) {
  setIdle();
  say(error.message, "error");
}

async function download() {
  const { source } = state;
  const strength = Number(byId("strength").value) / 100;
  const format = document.querySelector("[name=format]:checked").value;
  const name = downloadName(source.name, format);
  const button = byId("download");
  const before = byId("status").textContent;
  const onProgress = (share) => {
    button.textContent = `${Math.round(share * 100)} %`;
  };
  button.disabled = true;
  onProgress(0);
  try {
    const options = { strength, onProgress };
    const { picture } = await state.engine.render(source.full, source.grid, options);
    button.textContent = "Saving";
    await pause();
    saveFile(await encodePicture(picture, format), name);
    // What was said meanwhile is of something else, and stays.
    const now = byId("status").textContent;
    say(now === before ? `Saved as ${name}.` : `Saved as ${name}. ${now}`);
  } catch (error) {
    say(error.message, "error");
  }
  button.textContent = "Download";
  button.disabled = false;
  if (document.activeElement === document.body) button.focus(); // it lost it when disabled
}

start();
