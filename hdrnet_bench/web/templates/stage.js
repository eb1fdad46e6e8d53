// What lies in the frame: the picture, the enhanced picture on it, and the divider between them.

/**
 * Show two pictures of one size, one on the other. The second may still be missing.
 *
 * @param {boolean} zoomed one of their pixels to one of the screen's, in a box that scrolls
 */
function showPictures(before, after, zoomed) {
  const comes = zoomed && !(state.shown?.zoomed && state.shown.before === before);
  state.shown = { before, after, zoomed };
  setRatio(before.width, before.height);
  byId("after").hidden = !after;
  if (byId("live")) byId("live").hidden = true;
  drawShown();
  if (comes) scrollToCentre();
}

/** Give the frame a picture's proportions, and its size at 100 %. */
function setRatio(width, height) {
  const { style } = byId("stage");
  style.setProperty("--ratio", width / height);
  style.setProperty("--width", `${width / devicePixelRatio}px`);
  style.setProperty("--height", `${height / devicePixelRatio}px`);
}

/** Paint the canvases: whole pictures, or at 100 % the part that the box is scrolled to. */
function drawShown() {
  if (!state.shown) return;
  const { before, after, zoomed } = state.shown;
  const { clientWidth, clientHeight } = byId("frame");
  byId("frame").classList.toggle("narrow", clientWidth < 160);
  const part = zoomed
    ? {
        x: Math.round(byId("scroller").scrollLeft * devicePixelRatio),
        y: Math.round(byId("scroller").scrollTop * devicePixelRatio),
        width: Math.min(before.width, Math.round(clientWidth * devicePixelRatio)),
        height: Math.min(before.height, Math.round(clientHeight * devicePixelRatio)),
      }
    : { x: 0, y: 0, width: before.width, height: before.height };
  if (part.width === 0 || part.height === 0) return; // the grid stands in its place
  drawPart(byId("before"), before, part);
  if (after) drawPart(byId("after"), after, part);
}

function drawPart(canvas, { data, width, height }, part) {
  if (canvas.width !== part.width) canvas.width = part.width;
  if (canvas.height !== part.height) canvas.height = part.height;
  const context = canvas.getContext("2d");
  const { x, y } = part;
  context.putImageData(new ImageData(data, width, height), -x, -y, x, y, part.width, part.height);
  if (state.source.opaque) return;
  // Both get the same ground: mixed by opacity, they are what mixed pixels would be.
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = context.createPattern(checkerboard(), "repeat");
  context.fillRect(0, 0, part.width, part.height);
  context.globalCompositeOperation = "source-over";
}

function checkerboard() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [32, 32];
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, 32, 32);
  context.fillStyle = "#d0d4d8";
  context.fillRect(0, 0, 16, 16);
  context.fillRect(16, 16, 16, 16);
  return canvas;
}

function scrollToCentre() {
  const scroller = byId("scroller");
  scroller.scrollLeft = (scroller.scrollWidth - scroller.clientWidth) / 2;
  scroller.scrollTop = (scroller.scrollHeight - scroller.clientHeight) / 2;
  drawShown();
}

/** Let the enhanced picture come in softly, where motion is welcome. */
function fadeIn(element) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  element.animate([{ opacity: 0 }, {}], 350);
}

function placeDivider() {
  const range = byId("divider");
  const share = Number(range.value);
  byId("frame").style.setProperty("--at", `${share}%`);
  range.setAttribute("aria-valuetext", `${Math.round(share)} % before, the rest after`);
}

function setStrength() {
  const { value } = byId("strength");
  byId("strength-text").value = `${value} %`;
  byId("frame").style.setProperty("--strength", value / 100);
}

/** The divider, the strength, and the box that scrolls at 100 %. */
function connectStage() {
  const scroller = byId("scroller");
  byId("divider").addEventListener("input", placeDivider);
  byId("strength").addEventListener("input", setStrength);
  placeDivider();
  setStrength(); // a browser may have kept it from the last visit
  scroller.addEventListener("scroll", drawShown);
  // A finger scrolls by itself, a mouse does not.
  scroller.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    scroller.setPointerCapture(event.pointerId);
  });
  scroller.addEventListener("pointermove", (event) => {
    if (!scroller.hasPointerCapture(event.pointerId)) return;
    scroller.scrollBy(-event.movementX, -event.movementY);
  });
  new ResizeObserver(() => {
    if (!state.shown?.zoomed) return;
    // The browser's own zoom, or another screen, changes how large a pixel is.
    setRatio(state.shown.before.width, state.shown.before.height);
    drawShown();
  }).observe(byId("frame"));
}
