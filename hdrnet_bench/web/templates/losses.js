// What a picture file holds that does not come through the browser, read from the file's bytes.

const UNKNOWN = "What else such a file holds, and is lost here, is not known.";

/**
 * @param {ArrayBuffer} buffer the whole file
 * @returns {string[]} sentences
 */
function findLosses(buffer) {
  const found = { bits: 8 };
  const bytes = new DataView(buffer);
  try {
    const readers = [readPng, readJpeg, readGif, readWebp, readAvif];
    if (!readers.some((read) => read(bytes, found))) return [UNKNOWN];
  } catch (error) {
    // A file that ends early, or one with a wrong length in it: what was found until there counts.
    if (!(error instanceof RangeError)) throw error;
  }
  const lines = [
    [found.bits > 8, `It has ${found.bits} bits a channel; here it is read and saved with 8.`],
    [found.frames, "It is animated: the first frame was taken."],
    [found.cut, "The file ends early: a part of the picture is missing."],
    [found.turned, "It says that it is to be turned, which browsers do not do with WebP."],
    [found.profile, "By its colour profile it was converted to sRGB."],
    [found.gainMap, "Its HDR gain map is not used."],
    [found.metadata, "Its metadata (EXIF or the like) is not written into the download."],
  ];
  return lines.filter(([holds]) => holds).map(([, line]) => line);
}

function textAt(bytes, at, length) {
  const codes = new Uint8Array(bytes.buffer, at, Math.min(length, bytes.byteLength - at));
  return String.fromCharCode(...codes);
}

function readPng(bytes, found) {
  if (bytes.byteLength < 8 || bytes.getUint32(0) !== 0x89504e47) return false;
  found.bits = bytes.getUint8(24);
  for (let at = 8; at < bytes.byteLength; at += 12 + bytes.getUint32(at)) {
    const chunk = textAt(bytes, at + 4, 4);
    if (chunk === "acTL") found.frames = true;
    if (chunk === "iCCP" || chunk === "cICP") found.profile = true;
    if (["eXIf", "tEXt", "iTXt", "zTXt"].includes(chunk)) found.metadata = true;
    found.cut = chunk !== "IEND";
  }
  return true;
}

function readJpeg(bytes, found) {
  if (bytes.byteLength < 4 || bytes.getUint16(0) !== 0xffd8) return false;
  found.cut = true; // until its end is found
  let at = 2;
  // Segments, until the pixels start.
  for (; bytes.getUint16(at) !== 0xffda; at += 2 + bytes.getUint16(at + 2)) {
    const marker = bytes.getUint16(at);
    const length = bytes.getUint16(at + 2);
    if (marker === 0xffe1 || marker === 0xffed || marker === 0xfffe) found.metadata = true;
    if (marker === 0xffe1 && textAt(bytes, at + 4, length).includes("hdrgm:")) found.gainMap = true;
    if (marker === 0xffe2 && textAt(bytes, at + 4, 11) === "ICC_PROFILE") found.profile = true;
  }
  let end = bytes.byteLength - 2;
  while (end > at && bytes.getUint16(end) !== 0xffd9) end -= 1;
  found.cut = end <= at;
  return true;
}

function readGif(bytes, found) {
  if (textAt(bytes, 0, 4) !== "GIF8") return false;
  const tableSize = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13 + tableSize(bytes.getUint8(10));
  let frames = 0;
  while (bytes.getUint8(at) !== 0x3b && frames < 2) {
    if (bytes.getUint8(at) === 0x2c) {
      frames += 1;
      found.frames = frames > 1;
      at += 11 + tableSize(bytes.getUint8(at + 9));
    } else {
      if (bytes.getUint8(at + 1) === 0xfe) found.metadata = true;
      at += 2;
    }
    while (bytes.getUint8(at)) at += 1 + bytes.getUint8(at); // blocks, an empty one ends them
    at += 1;
  }
  return true;
}

function readWebp(bytes, found) {
  if (textAt(bytes, 0, 4) !== "RIFF" || textAt(bytes, 8, 4) !== "WEBP") return false;
  const flags = textAt(bytes, 12, 4) === "VP8X" ? bytes.getUint8(20) : 0;
  found.frames = Boolean(flags & 0x02);
  found.metadata = Boolean(flags & 0x0c);
  found.profile = Boolean(flags & 0x20);
  for (let at = 12; at + 8 <= bytes.byteLength;) {
    const length = bytes.getUint32(at + 4, true);
    if (textAt(bytes, at, 4) === "EXIF") found.turned = orientation(bytes, at + 8) > 1;
    at += 8 + length + (length % 2);
  }
  return true;
}

/** The orientation that EXIF at a place says, 1 where it says none. */
function orientation(bytes, start) {
  const tiff = textAt(bytes, start, 4) === "Exif" ? start + 6 : start;
  const little = textAt(bytes, tiff, 2) === "II";
  const first = tiff + bytes.getUint32(tiff + 4, little);
  for (let i = 0; i < bytes.getUint16(first, little); i++) {
    const entry = first + 2 + i * 12;
    if (bytes.getUint16(entry, little) === 0x0112) return bytes.getUint16(entry + 8, little);
  }
  return 1;
}

function readAvif(bytes, found) {
  const isBoxed = bytes.byteLength > 8 && textAt(bytes, 4, 4) === "ftyp";
  const brands = isBoxed ? textAt(bytes, 8, bytes.getUint32(0) - 8) : "";
  if (!/avi[fs]/.test(brands)) return false;
  found.frames = brands.startsWith("avis");
  const boxes = textAt(bytes, 0, 4096);
  const depth = boxes.indexOf("pixi"); // then version and flags, channels, bits of the first
  if (depth > 0) found.bits = bytes.getUint8(depth + 9);
  found.profile = boxes.includes("colrprof") || boxes.includes("colrrICC");
  found.metadata = boxes.includes("Exif") || boxes.includes("application/rdf+xml");
  return true;
}
