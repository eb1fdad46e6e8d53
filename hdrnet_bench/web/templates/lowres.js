// The low-res copy of a picture that the network is given, as `make_lowres` makes it: the whole
// picture squeezed into a square, whatever its aspect ratio.

/**
 * @param {{data: Uint8ClampedArray, width: number, height: number}} picture RGBA
 * @param {number} size side of the copy
 * @param {"area"|"nearest"} resize
 * @returns {Float64Array} size x size x RGB in [0, 1]
 */
function makeLowres(picture, size, resize) {
  return resize === "area" ? averaged(picture, size) : taken(picture, size);
}

/** Averages over boxes that may share a row or a column (torch's adaptive_avg_pool2d). */
function averaged({ data, width, height }, size) {
  const columns = boxes(width, size);
  const out = new Float64Array(size * size * 3);
  const sums = new Float64Array(width * 3); // of the rows of a box
  boxes(height, size).forEach(([top, bottom], y) => {
    sums.fill(0);
    for (let row = top; row < bottom; row++) {
      let at = row * width * 4;
      for (let x = 0; x < sums.length; x += 3, at += 4) {
        sums[x] += data[at];
        sums[x + 1] += data[at + 1];
        sums[x + 2] += data[at + 2];
      }
    }
    columns.forEach(([left, right], x) => {
      const scale = 1 / (255 * (right - left) * (bottom - top));
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = left * 3 + channel; i < right * 3; i += 3) sum += sums[i];
        out[(y * size + x) * 3 + channel] = sum * scale;
      }
    });
  });
  return out;
}

/** First and one after the last of those of `length` pixels that each of `size` averages. */
function boxes(length, size) {
  return Array.from({ length: size }, (_, i) => [
    Math.floor((i * length) / size),
    Math.ceil(((i + 1) * length) / size),
  ]);
}

/** One pixel for each (torch's "nearest", whose places are computed in float32). */
function taken({ data, width, height }, size) {
  const [rows, columns] = [height, width].map((length) => {
    const step = Math.fround(length / size);
    return Array.from({ length: size }, (_, i) =>
      Math.min(Math.floor(Math.fround(i * step)), length - 1),
    );
  });
  const out = new Float64Array(size * size * 3);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * width + column) * 4;
      for (let channel = 0; channel < 3; channel++) out[to++] = data[from + channel] / 255;
    }
  }
  return out;
}
