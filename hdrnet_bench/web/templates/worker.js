// The worker: low-res copy, network and the plain JavaScript path, beside the page. Each message
// {id, task, ...} is answered by {id, result} or {id, error}.

let model = null;
let network = null;

const tasks = {
  start(message) {
    model = message.model;
    network = readNetwork(model.network, message.weights);
  },
  predict({ picture }) {
    const lowres = makeLowres(picture, model.input_size, model.lowres_resize);
    return predictGrid(network, lowres, model.input_size, model.grid);
  },
  enhance({ strip, first, height, grid, options }) {
    return enhance(model, strip, first, height, grid, options);
  },
};

self.onmessage = ({ data: { id, task, ...message } }) => {
  try {
    const before = performance.now();
    const result = tasks[task](message);
    const transfer = result ? [result.buffer] : [];
    self.postMessage({ id, result, milliseconds: performance.now() - before }, transfer);
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
