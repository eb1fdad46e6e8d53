// The coefficient network: low-res copy in, bilateral grid out, in float64. Features lie in memory
// as rows, columns, channels. A dense layer is a convolution of one pixel.

const BLOCK = 8; // output channels whose sums are in registers at a time

/**
 * @param {object} network layers as the page's model names them
 * @param {ArrayBuffer} weights
 * @returns the same with each layer's weights as numbers
 */
function readNetwork(network, weights) {
  const read = (layer) => ({
    ...layer,
    blocks: inBlocks(numbers(layer.weight, weights), layer.channels[1]),
    biases: layer.bias ? numbers(layer.bias, weights) : new Float64Array(layer.channels[1]),
  });
  return Object.fromEntries(
    Object.entries(network).map(([name, layers]) => [name, layers.map(read)]),
  );
}

/**
 * @param network of `readNetwork`
 * @param {Float64Array} lowres size x size x RGB
 * @param {{depth: number, rows: number, columns: number, outputs: number}} shape of the grid
 * @returns {Float32Array} depth x rows x columns x outputs x 4: the last number of a matrix's row
 *   is the offset
 */
function predictGrid(network, lowres, size, shape) {
  const run = (layers, from) => layers.reduce(convolve, from);
  const features = run(network.splat, { data: lowres, width: size, height: size });
  const context = run(network.global_convs, features);
  // Rows, columns, channels is the order in which the first dense layer's weights lie.
  const summary = run(network.global_dense, { data: context.data, width: 1, height: 1 });
  const fusion = run(network.local, features);
  fusion.data.forEach((value, i) => {
    fusion.data[i] = Math.max(value + summary.data[i % summary.data.length], 0);
  });
  const cells = run(network.prediction, fusion).data;
  const { depth, rows, columns, outputs } = shape;
  const length = outputs * 4;
  const grid = new Float32Array(depth * rows * columns * length);
  for (let place = 0; place < rows * columns; place++) {
    for (let z = 0; z < depth; z++) {
      const from = (place * depth + z) * length;
      grid.set(cells.subarray(from, from + length), (z * rows * columns + place) * length);
    }
  }
  return grid;
}

/** Convolution with TensorFlow's SAME padding, its bias, and ReLU where the layer has one. */
function convolve({ data, width, height }, layer) {
  const { kernel, stride, relu, channels, blocks, biases } = layer;
  const [inputs, outputs] = channels;
  const wide = Math.ceil(width / stride);
  const high = Math.ceil(height / stride);
  const padded = pad(data, width, height, inputs, kernel, stride);
  const out = new Float64Array(wide * high * outputs);
  const run = kernel * inputs; // of a window's row: it lies in one piece
  for (let first = 0, block = 0; first < outputs; first += BLOCK, block++) {
    const weights = blocks[block];
    const count = Math.min(BLOCK, outputs - first);
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
        let w = 0;
        for (let ky = 0; ky < kernel; ky++) {
          let i = ((y * stride + ky) * padded.width + x * stride) * inputs;
          for (const end = i + run; i < end; i++, w += BLOCK) {
            const value = padded.data[i];
            a += value * weights[w];
            b += value * weights[w + 1];
            c += value * weights[w + 2];
            d += value * weights[w + 3];
            e += value * weights[w + 4];
            f += value * weights[w + 5];
            g += value * weights[w + 6];
            h += value * weights[w + 7];
          }
        }
        const sums = [a, b, c, d, e, f, g, h];
        const to = (y * wide + x) * outputs + first;
        for (let o = 0; o < count; o++) {
          const sum = sums[o] + biases[first + o];
          out[to + o] = relu ? Math.max(sum, 0) : sum;
        }
      }
    }
  }
  return { data: out, width: wide, height: high };
}

/** With zeros around, such that ceil(side / stride) windows fit; an odd one stands after. */
function pad(data, width, height, channels, kernel, stride) {
  const [left, right] = samePadding(width, kernel, stride);
  const [top, bottom] = samePadding(height, kernel, stride);
  const wide = left + width + right;
  const out = new Float64Array(wide * (top + height + bottom) * channels);
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width * channels, (y + 1) * width * channels);
    out.set(row, ((top + y) * wide + left) * channels);
  }
  return { data: out, width: wide };
}

function samePadding(side, kernel, stride) {
  const total = Math.max((Math.ceil(side / stride) - 1) * stride + kernel - side, 0);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** Weights (inputs of a window) x outputs to blocks of outputs, the last one filled with zeros. */
function inBlocks(weights, outputs) {
  const inputs = weights.length / outputs;
  return Array.from({ length: Math.ceil(outputs / BLOCK) }, (_, block) => {
    const packed = new Float64Array(inputs * BLOCK);
    for (let i = 0; i < inputs; i++) {
      const from = i * outputs;
      const row = weights.subarray(
        from + block * BLOCK,
        from + Math.min((block + 1) * BLOCK, outputs),
      );
      packed.set(row, i * BLOCK);
    }
    return packed;
  });
}

/** A tensor of the file as float64. */
function numbers({ type, offset, length }, weights) {
  if (type === "float32") return Float64Array.from(new Float32Array(weights, offset, length));
  return Float64Array.from(new Uint16Array(weights, offset, length), fromHalf);
}

function fromHalf(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction;
  return bits & 0x8000 ? -size : size;
}
