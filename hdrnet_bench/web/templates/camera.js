// Live video: each frame enhanced with the newest grid, the next grid predicted beside it.

const PLAIN_SIDE = 480; // of a frame that goes through JavaScript: more would be no video

/**
 * Ask for a camera and show it.
 *
 * @param {string} [id] of the camera; without it the one that looks away from the visitor
 */
async function startCamera(id) {
  const turn = ++state.turn;
  stopCamera();
  say("");
  setBusy("Asking for the camera");
  state.asking = turn;
  arrange();
  try {
    const stream = await askForCamera(id);
    if (turn !== state.turn || document.hidden) {
      endTracks(stream);
      if (turn === state.turn) leaveCamera();
      return;
    }
    state.asking = 0;
    const camera = { stream, grid: null, predicting: false, times: [], milliseconds: 0 };
    state.camera = camera;
    stream.getVideoTracks()[0].addEventListener("ended", () => {
      if (state.camera === camera) leaveCamera("The camera went away.", "error");
    });
    await runCamera(camera, byId("video"));
  } catch (error) {
    if (turn === state.turn) leaveCamera(cameraFault(error), "error");
  }
}

function askForCamera(id) {
  if (!navigator.mediaDevices) throw new DOMException("", "NotSupportedError");
  const which = id ? { deviceId: { exact: id } } : { facingMode: "environment" };
  const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
  return navigator.mediaDevices.getUserMedia({ video: { ...which, ...size } });
}

function cameraFault(error) {
  const known = {
    NotAllowedError: "The camera was refused. Allow it for this page in the browser's settings.",
    NotFoundError: "No camera was found. Connect one, or choose a photo.",
    NotReadableError: "The camera cannot be read: another program may be using it.",
    NotSupportedError: "This browser gives this page no camera.",
  };
  return known[error.name] ?? `The camera cannot be used: ${error.message || error.name}`;
}

function endTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}

function stopCamera() {
  if (!state.camera) return;
  endTracks(state.camera.stream);
  state.camera = null;
  byId("video").srcObject = null;
}

async function listCameras(camera) {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const ids = devices.filter(({ kind }) => kind === "videoinput").map(({ deviceId }) => deviceId);
  const current = camera.stream.getVideoTracks()[0].getSettings().deviceId;
  camera.next = ids[(ids.indexOf(current) + 1) % ids.length];
  byId("switch-camera").hidden = ids.length < 2;
}

async function runCamera(camera, video) {
  video.srcObject = camera.stream;
  await video.play();
  await state.starting;
  if (state.camera !== camera) return;
  if (state.view === "guide") state.view = "result"; // a guide map is of a picture
  showCamera(video);
  arrange();
  setIdle();
  await listCameras(camera);
  while (state.camera === camera) {
    await nextFrame(video);
    if (state.camera !== camera) return;
    if (!camera.predicting) predictFrame(camera, video);
    const draws = camera.grid !== null && state.view === "result";
    if (draws) await drawFrame(camera, video);
    if (state.camera === camera) sayRate(camera, draws);
  }
}

/** When the video has a new picture, or at the latest after a second: a camera may stand still. */
function nextFrame(video) {
  return new Promise((resolve) => {
    setTimeout(resolve, 1000);
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}

async function predictFrame(camera, video) {
  camera.predicting = true;
  try {
    const frame = framePixels(video, Infinity);
    const { grid, milliseconds } = await state.engine.predict(frame);
    if (state.camera !== camera) return;
    [camera.grid, camera.milliseconds] = [grid, milliseconds];
    setRatio(frame.width, frame.height);
    if (state.view === "grid") {
      drawGrid(grid, model, byId("tiles"), frame.width / frame.height);
    }
  } catch (error) {
    if (state.camera === camera) leaveCamera(error.message, "error");
  }
  camera.predicting = false;
}

async function drawFrame(camera, video) {
  const { engine } = state;
  const live = engine.renderFrame(video, video.videoWidth, video.videoHeight, camera.grid);
  if (live) {
    showLive(engine.canvas);
    return;
  }
  const frame = framePixels(video, PLAIN_SIDE);
  const { picture } = await engine.render(frame, camera.grid);
  if (state.camera !== camera) return;
  showLive(byId("after"));
  const { data, width, height } = picture;
  const smaller = width < video.videoWidth ? `, enhanced at ${width} × ${height}` : "";
  byId("size").textContent =
    sizeText({ width: video.videoWidth, height: video.videoHeight }) + smaller;
  const context = byId("after").getContext("2d");
  [context.canvas.width, context.canvas.height] = [width, height];
  context.putImageData(new ImageData(data, width, height), 0, 0);
}

/** Of the canvases that an enhanced frame may be in, show one. */
function showLive(canvas) {
  for (const one of document.querySelectorAll("canvas.after")) one.hidden = one !== canvas;
}

function framePixels(video, side) {
  const share = Math.min(1, side / Math.max(video.videoWidth, video.videoHeight));
  const width = Math.round(video.videoWidth * share);
  const height = Math.round(video.videoHeight * share);
  const context = canvasContext(width, height);
  context.drawImage(video, 0, 0, width, height);
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}

/** Say how many frames a second are enhanced. */
function sayRate(camera, drew) {
  const now = performance.now();
  if (drew) camera.times.push(now);
  camera.times = camera.times.filter((time) => time > now - 1000);
  if (now - (camera.said ?? 0) < 500) return;
  camera.said = now;
  const rate = state.view === "grid" ? "" : `${camera.times.length} frames a second, `;
  const network = camera.grid ? `network ${durationText(camera.milliseconds)}` : "network starting";
  byId("times").textContent = `${rate}${network} (${state.engine.path})`;
}
