// Guide, slice and apply in plain JavaScript, in float64: what the shader does where it can.

/**
 * Enhance rows of a picture.
 *
 * @param {object} model of the page
 * @param {{data: Uint8ClampedArray, width: number, height: number}} strip rows of the picture, RGBA
 * @param {number} first the strip's first row in the picture
 * @param {number} height of the whole picture; a pyramid takes whole pictures alone
 * @param {Float32Array} grid of `predictGrid`
 * @param {{strength: number, show: "output"|"guide"}} options
 * @returns {Uint8ClampedArray} as the strip, its alpha kept
 */
function enhance(model, strip, first, height, grid, { strength, show }) {
  const { data, width } = strip;
  const coarser =
    model.variant === "pyramid" && show === "output" ? levels(model, strip, grid) : null;
  const level = sliced(model, 0, grid, width, height);
  const columns = coarser && between(width, coarser.width);
  const out = new Uint8ClampedArray(data.length);
  const line = new Float64Array(width * 3);
  for (let y = 0; y < strip.height; y++) {
    const start = y * width * 4;
    readBytes(data, start, line);
    const guides = level.guide(line);
    const enhanced = show === "output" ? level.row(line, guides, first + y) : null;
    if (coarser) add(enhanced, resized(coarser, width, height, y, columns));
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const before = line[x * 3 + channel];
        const after = enhanced ? clamp(enhanced[x * 3 + channel], 0, 1) : guides[x];
        const mixed = enhanced ? before + strength * (after - before) : after;
        out[start + x * 4 + channel] = mixed * 255; // clamps, and rounds to nearest
      }
      out[start + x * 4 + 3] = data[start + x * 4 + 3];
    }
  }
  return out;
}

/** What a pyramid's coarser levels make, at half the picture's size. */
function levels(model, picture, grid) {
  const bytes = picture.data;
  const full = {
    width: picture.width,
    height: picture.height,
    row: (y, line) => readBytes(bytes, y * picture.width * 4, line),
  };
  const half = halved(full);
  const quarter = halved(half);
  const coarsest = levelOutput(model, 2, grid, quarter, null);
  return levelOutput(model, 1, grid, half, coarsest);
}

/** A level enhanced, and what a coarser one made added. */
function levelOutput(model, index, grid, picture, coarser) {
  const { width, height } = picture;
  const level = sliced(model, index, grid, width, height);
  const line = new Float64Array(width * 3);
  const columns = coarser && between(width, coarser.width);
  return floatPicture(width, height, (y) => {
    picture.row(y, line);
    const enhanced = level.row(line, level.guide(line), y);
    if (coarser) add(enhanced, resized(coarser, width, height, y, columns));
    return enhanced;
  });
}

/** Half the size, rounded down: bilinear with aligned corners, not antialiased. */
function halved(picture) {
  const [width, height] = [picture.width >> 1, picture.height >> 1];
  const columns = between(width, picture.width);
  return floatPicture(width, height, (y) => resized(picture, width, height, y, columns));
}

/** A picture of numbers: row(y, line) fills a line with one of its rows. */
function floatPicture(width, height, makeRow) {
  const data = new Float32Array(width * height * 3);
  for (let y = 0; y < height; y++) data.set(makeRow(y), y * width * 3);
  return {
    width,
    height,
    row: (y, line) => line.set(data.subarray(y * width * 3, (y + 1) * width * 3)),
  };
}

/** A row of a picture as one of another size: bilinear with aligned corners, at those columns. */
function resized(picture, width, height, y, columns) {
  const [above, below] = [0, 1].map(() => new Float64Array(picture.width * 3));
  const [top, bottom, down] = neighbours(y, height, picture.height);
  picture.row(top, above);
  picture.row(bottom, below);
  const out = new Float64Array(width * 3);
  for (let x = 0; x < width; x++) {
    const [left, right, across] = columns[x];
    for (let channel = 0; channel < 3; channel++) {
      const [l, r] = [left * 3 + channel, right * 3 + channel];
      const upper = above[l] + across * (above[r] - above[l]);
      const lower = below[l] + across * (below[r] - below[l]);
      out[x * 3 + channel] = upper + down * (lower - upper);
    }
  }
  return out;
}

/** Where sample i of `length` lies among `old` ones: the two beside it, and the second's weight. */
function neighbours(i, length, old) {
  const place = (i * (old - 1)) / Math.max(length - 1, 1);
  const before = Math.min(Math.floor(place), old - 1);
  return [before, Math.min(before + 1, old - 1), place - before];
}

/** `neighbours` of all samples of a line. */
function between(length, old) {
  return Array.from({ length }, (_, i) => neighbours(i, length, old));
}

function add(to, line) {
  for (let i = 0; i < to.length; i++) to[i] += line[i];
}

function readBytes(data, start, line) {
  for (let from = start, to = 0; to < line.length; from += 4, to += 3) {
    line[to] = data[from] / 255;
    line[to + 1] = data[from + 1] / 255;
    line[to + 2] = data[from + 2] / 255;
  }
}

/**
 * One level of a model on pictures of one size.
 *
 * @returns guide(line): the guide map of a row of RGB; row(line, guides, y): that row's result
 */
function sliced(model, index, grid, width, height) {
  const { depth, rows, columns, outputs } = model.grid;
  const guide =
    model.variant === "curves" ? curves(model.guides[0]) : pointwise(model.guides[index]);
  // Of a pyramid's matrix rows, the coarsest level's stand first.
  const firstRow = outputs - 3 * (index + 1);
  // The grid at one of the picture's rows: columns x depth x 3 x 4.
  const band = new Float64Array(columns * depth * 12);
  const places = Array.from({ length: width }, (_, x) => taps(x, width, columns));
  const out = new Float64Array(width * 3);

  function interpolateRows(y) {
    const [top, bottom, weight] = taps(y, height, rows);
    let to = 0;
    for (let column = 0; column < columns; column++) {
      for (let z = 0; z < depth; z++) {
        const upper = (((z * rows + top) * columns + column) * outputs + firstRow) * 4;
        const lower = (((z * rows + bottom) * columns + column) * outputs + firstRow) * 4;
        for (let i = 0; i < 12; i++) {
          band[to++] = grid[upper + i] + weight * (grid[lower + i] - grid[upper + i]);
        }
      }
    }
  }

  function row(line, guides, y) {
    interpolateRows(y);
    for (let x = 0; x < width; x++) {
      const [left, right, across] = places[x];
      const place = guides[x] * depth - 0.5;
      const floor = Math.floor(place);
      const near = clamp(floor, 0, depth - 1);
      const far = clamp(floor + 1, 0, depth - 1);
      const deep = place - floor;
      const nearLeft = (left * depth + near) * 12;
      const farLeft = (left * depth + far) * 12;
      const nearRight = (right * depth + near) * 12;
      const farRight = (right * depth + far) * 12;
      const [red, green, blue] = [line[x * 3], line[x * 3 + 1], line[x * 3 + 2]];
      const coefficient = (i) => {
        const first = band[nearLeft + i] + across * (band[nearRight + i] - band[nearLeft + i]);
        const second = band[farLeft + i] + across * (band[farRight + i] - band[farLeft + i]);
        return first + deep * (second - first);
      };
      for (let o = 0; o < 3; o++) {
        const i = o * 4;
        out[x * 3 + o] =
          coefficient(i) * red +
          coefficient(i + 1) * green +
          coefficient(i + 2) * blue +
          coefficient(i + 3);
      }
    }
    return out;
  }

  return { guide, row };
}

/** The two cells that pixel i of `length` lies between, clamped, and the second's weight. */
function taps(i, length, cells) {
  const place = ((i + 0.5) * cells) / length - 0.5;
  const before = Math.floor(place);
  return [clamp(before, 0, cells - 1), clamp(before + 1, 0, cells - 1), place - before];
}

/** A colour matrix, a curve for each channel, a mix: the paper's guide. */
function curves({ matrix, bias, shifts, slopes, mix, mix_bias }) {
  return (line) => {
    const out = new Float64Array(line.length / 3).fill(mix_bias);
    for (let channel = 0; channel < 3; channel++) {
      const [red, green, blue] = [0, 1, 2].map((from) => matrix[from][channel]);
      for (let x = 0; x < out.length; x++) {
        const value =
          red * line[x * 3] + green * line[x * 3 + 1] + blue * line[x * 3 + 2] + bias[channel];
        let curve = 0;
        for (let k = 0; k < shifts[channel].length; k++) {
          curve += slopes[channel][k] * Math.max(value - shifts[channel][k], 0);
        }
        out[x] += mix[channel] * curve;
      }
    }
    return out.map((value) => clamp(value, 0, 1));
  };
}

/** A network of one pixel with one hidden layer. */
function pointwise({ first, first_bias, second, second_bias }) {
  return (line) => {
    const out = new Float64Array(line.length / 3).fill(second_bias);
    first.forEach(([red, green, blue], k) => {
      for (let x = 0; x < out.length; x++) {
        const hidden =
          red * line[x * 3] + green * line[x * 3 + 1] + blue * line[x * 3 + 2] + first_bias[k];
        out[x] += second[k] * Math.max(hidden, 0);
      }
    });
    return out.map((value) => 1 / (1 + Math.exp(-value)));
  };
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
