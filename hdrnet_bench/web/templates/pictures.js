// Pictures in and out: files to pixels, a copy for the screen, pixels to files.

const VIEW_SIDE = 2000; // of the copy that is shown when the picture is fitted into the page
const READ_PIXELS = 1 << 21; // at a time: no canvas as large as the picture, and no freeze
const READ_WIDTH = 1 << 14; // of a canvas; a wider one may hold nothing

/**
 * Read a picture file.
 *
 * @param {Blob} file
 * @param {string} name said to the reader, and the download is named after it
 * @param {function(number)} onProgress given shares; what it throws ends the reading
 * @returns {Promise<object>} a source: see `asSource`
 */
async function readPicture(file, name, onProgress) {
  if (file.size === 0) throw new Error(`${name}: the file is empty. Choose another picture.`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error(
      `${name}: this browser cannot open it as a picture, or it is damaged. JPEG, PNG, WebP and ` +
        "AVIF open here; `hdrbench enhance` also reads HEIC, DNG and TIFF.",
    );
  }
  const source = await withBitmap(bitmap, onProgress);
  const bytes = await file.arrayBuffer();
  const isJpeg = new DataView(bytes).getUint16(0) === 0xffd8; // whatever its name says
  const notes = findLosses(bytes);
  if (isOpaque(source.full)) return asSource({ name, ...source, opaque: true, isJpeg, notes });
  notes.unshift("It is transparent in places: PNG keeps that. There the download rounds colours.");
  // A canvas forgets colours that hardly show, and the network sees them too.
  const whole = await readUnseen(file, source.full, onProgress);
  if (!whole) notes.push("Where it is transparent, colours are lost here: the result is another.");
  const full = whole ?? source.full;
  const view = source.view === source.full ? full : source.view;
  return asSource({ name, full, view, opaque: false, isJpeg, notes });
}

/** A video's frame as a source. */
async function readFrame(video, name) {
  const source = await withBitmap(await createImageBitmap(video), () => {});
  return asSource({ name, ...source, opaque: true, isJpeg: true, notes: [] });
}

/** A bitmap's pixels and their copy for the screen: {full, view}. Closes the bitmap. */
async function withBitmap(bitmap, onProgress) {
  try {
    const full = await readPixels(bitmap, bitmap.width, bitmap.height, onProgress);
    return { full, view: scaled(bitmap, full, VIEW_SIDE) };
  } finally {
    bitmap.close();
  }
}

/** A file's pixels with the colours of what is transparent, null where no WebGL2 gives them. */
async function readUnseen(file, { width, height }, onProgress) {
  await state.starting;
  const options = { imageOrientation: "from-image", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(file, options);
  try {
    const data = await state.engine.readBitmap(bitmap, onProgress);
    return data && { data, width, height };
  } finally {
    bitmap.close();
  }
}

/**
 * What the page works on: the full picture, the copy for the screen, what is lost of the file.
 * `grid` comes when it is predicted, `layers` hold what was rendered.
 */
function asSource({ name, full, view, opaque, isJpeg, notes }) {
  return {
    name,
    full,
    view,
    opaque,
    format: isJpeg && opaque ? "image/jpeg" : "image/png",
    notes,
    sample: null, // the button of the sample that it is
    grid: null,
    layers: new Map(),
  };
}

/** All pixels of something that a canvas can draw, piece by piece. */
async function readPixels(drawable, width, height, onProgress) {
  const wide = Math.min(width, READ_WIDTH);
  const high = Math.min(height, Math.max(1, Math.floor(READ_PIXELS / width)));
  const context = canvasContext(wide, high);
  const data = allocate(width, height);
  for (let y = 0; y < height; y += high) {
    const rows = Math.min(high, height - y);
    for (let x = 0; x < width; x += wide) {
      const columns = Math.min(wide, width - x);
      context.clearRect(0, 0, wide, high);
      context.drawImage(drawable, -x, -y, width, height);
      const piece = context.getImageData(0, 0, columns, rows).data;
      for (let row = 0; row < rows; row++) {
        const line = piece.subarray(row * columns * 4, (row + 1) * columns * 4);
        data.set(line, ((y + row) * width + x) * 4);
      }
    }
    onProgress((y + rows) / height);
    if (y + rows < height) await pause();
  }
  return { data, width, height };
}

function allocate(width, height) {
  try {
    return new Uint8ClampedArray(width * height * 4);
  } catch {
    throw new Error(
      `${width} × ${height} pixels do not fit in this browser's memory. ` +
        "`hdrbench enhance` takes pictures of that size.",
    );
  }
}

/** A copy of at most that many pixels a side; the full picture itself where it is no larger. */
function scaled(drawable, full, side) {
  const share = side / Math.max(full.width, full.height);
  if (share >= 1) return full;
  // Not under the four pixels that a pyramid needs.
  const [width, height] = [full.width, full.height].map((n) =>
    Math.max(Math.min(n, 4), Math.round(n * share)),
  );
  const context = canvasContext(width, height);
  context.drawImage(drawable, 0, 0, width, height);
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}

/** Of a canvas that is read back: in memory, not on the graphics processor. */
function canvasContext(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`This browser gives no canvas of ${width} × ${height} pixels.`);
  context.imageSmoothingQuality = "high";
  return context;
}

function isOpaque({ data }) {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false;
  return true;
}

/**
 * A picture as a file.
 *
 * @param {"image/jpeg"|"image/png"} format
 * @returns {Promise<Blob>}
 */
async function encodePicture(picture, format) {
  const { data, width, height } = picture;
  const other = "`hdrbench enhance` writes pictures of that size.";
  const tooLarge = `This browser cannot encode ${width} × ${height} pixels. ${other}`;
  let blob = null;
  try {
    const context = canvasContext(width, height);
    context.putImageData(new ImageData(data, width, height), 0, 0);
    blob = await new Promise((resolve) => context.canvas.toBlob(resolve, format, 0.95));
  } catch {
    throw new Error(tooLarge);
  }
  // A format that it does not know becomes a PNG.
  if (blob?.type !== format) throw new Error(tooLarge);
  return blob;
}

/** beach.day.png and image/jpeg to beach.day-enhanced.jpg, without what no file system takes */
function downloadName(name, format) {
  const stem = name
    .replace(/(.)\.[^.]*$/, "$1")
    .replace(/[\\/:*?"'<>|~]/g, "_")
    .replace(/^\./, "_");
  return `${stem}-enhanced.${format === "image/jpeg" ? "jpg" : "png"}`;
}

function saveFile(blob, name) {
  const link = document.createElement("a");
  const url = URL.createObjectURL(blob);
  link.setAttribute("href", url);
  link.download = name;
  link.click();
  // The browser has to have begun to read it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A data: URI of base64 as a file: the page may not fetch anything, not even that. */
function uriToBlob(uri) {
  const [head, body] = uri.split(",");
  return new Blob([decoded(body)], { type: head.slice("data:".length).split(";")[0] });
}

/** Let the browser draw and react. A timer would do so once a second where the page is hidden. */
function pause() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve(port1.close());
    port2.postMessage(null);
  });
}
