// What the page says, and what of it is on show in which state.

/** Put on show what belongs to the state. */
function arrange() {
  const { source, camera, view } = state;
  const live = camera !== null;
  const something = live || source !== null;
  const zoomed = state.zoomed && !live;
  const frame = byId("frame");
  byId("stage").classList.toggle("growing", something && view === "grid");
  byId("invitation").hidden = something;
  frame.hidden = !something || view === "grid";
  frame.dataset.view = view;
  frame.classList.toggle("zoomed", zoomed);
  byId("grid-view").hidden = !something || view !== "grid";
  byId("scroller").hidden = !zoomed;
  byId("before").hidden = live;
  byId("video").hidden = !live;
  byId("right-side").textContent = view === "guide" ? "guide" : "after";
  byId("guide-note").hidden = !something || view !== "guide";
  byId("camera-buttons").hidden = !live;
  byId("camera").textContent = live ? "Stop camera" : isAsking() ? "Cancel" : "Camera";
  byId("facts").hidden = !something;
  byId("zooms").disabled = live || !source || view === "grid";
  byId("formats").disabled = live || !source?.grid;
  for (const one of document.getElementsByName("view")) {
    one.checked = one.value === view;
    one.disabled = live && one.value === "guide";
  }
  for (const one of document.getElementsByName("zoom")) {
    one.checked = (one.value === "full") === zoomed;
  }
}

/** Whether the visitor is being asked for the camera. */
function isAsking() {
  return state.asking !== 0 && state.asking === state.turn;
}

/** A source's name, what is lost of it, and the formats that it can be saved in. */
function showSource({ name, full, notes, opaque, format, sample }) {
  markSample(sample);
  byId("name").textContent = name;
  byId("size").textContent = sizeText(full);
  byId("times").textContent = "";
  byId("notes").replaceChildren(...notes.map((note) => listItem(note)));
  for (const one of document.getElementsByName("format")) {
    one.checked = one.value === format;
    one.disabled = one.value === "image/jpeg" && !opaque;
  }
}

function showCamera({ videoWidth, videoHeight }) {
  markSample(null);
  byId("name").textContent = "Camera";
  byId("size").textContent = sizeText({ width: videoWidth, height: videoHeight });
  byId("times").textContent = "";
  byId("notes").replaceChildren();
  setRatio(videoWidth, videoHeight);
  showLive(null);
}

function sizeText({ width, height }) {
  return `${width} × ${height} pixels`;
}

function listItem(text) {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}

function sayTimes({ full, networkTime }, { picture, milliseconds, path }) {
  // What is fitted into the page may be a copy.
  const at = sizeText(picture) === sizeText(full) ? "" : ` at ${sizeText(picture)}`;
  const rendered = `picture ${durationText(milliseconds)}${at}`;
  byId("times").textContent = `Network ${durationText(networkTime)}, ${rendered} (${path})`;
}

function durationText(time) {
  if (time >= 1000) return `${(time / 1000).toFixed(1)} s`;
  return `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
}

/** @param {"error"|"notice"|"quiet"} kind what is quiet is for screen readers alone */
function say(text, kind = "notice") {
  const status = byId("status");
  status.className = `message ${kind}`;
  status.textContent = text;
}

/** @param {number} [share] without it nobody knows how far it is */
function setBusy(text, share) {
  byId("stage").setAttribute("aria-busy", "true");
  byId("busy").hidden = false;
  byId("busy-text").textContent = text;
  if (share === undefined) byId("progress").removeAttribute("value");
  else byId("progress").value = share;
}

/** Nothing computes any more. */
function setIdle() {
  byId("stage").setAttribute("aria-busy", "false");
  byId("busy").hidden = true;
}

function connectControls() {
  for (const one of document.getElementsByName("view")) {
    one.addEventListener("change", () => choose({ view: one.value }));
  }
  for (const one of document.getElementsByName("zoom")) {
    one.addEventListener("change", () => choose({ zoomed: one.value === "full" }));
  }
  byId("download").addEventListener("click", download);
  byId("camera").addEventListener("click", () => {
    if (state.camera || isAsking()) leaveCamera();
    else startCamera();
  });
  byId("leave-camera").addEventListener("click", () => {
    leaveCamera();
    byId("camera").focus(); // the button that had it is gone
  });
  byId("switch-camera").addEventListener("click", () => startCamera(state.camera.next));
  byId("shutter").addEventListener("click", takeFrame);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden || !state.camera) return;
    leaveCamera("The camera was stopped: the page was hidden.");
  });
}
