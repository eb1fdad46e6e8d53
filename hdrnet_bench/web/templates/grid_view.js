// A drawing of the grid that the network predicted: a tile for each level of brightness.

/**
 * @param {Float32Array} grid of the engine
 * @param {object} model of the page
 * @param {Element} place filled with a figure for each level
 * @param {number} ratio the picture's width over its height: the cells lie over the picture
 */
function drawGrid(grid, model, place, ratio) {
  const { depth, rows, columns } = model.grid;
  if (place.children.length !== depth) {
    place.replaceChildren(...Array.from({ length: depth }, (_, z) => gridTile(z, model.grid)));
  }
  place.style.setProperty("--ratio", ratio);
  [...place.children].forEach((tile, z) => {
    const context = tile.querySelector("canvas").getContext("2d");
    context.putImageData(new ImageData(levelColours(grid, model.grid, z), columns, rows), 0, 0);
  });
}

function gridTile(z, { depth, rows, columns }) {
  const tile = document.createElement("figure");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const caption = document.createElement("figcaption");
  const swatch = document.createElement("span");
  const percent = ((z + 0.5) / depth) * 100;
  swatch.className = "swatch";
  swatch.style.background = `rgb(${percent}% ${percent}% ${percent}%)`;
  caption.append(swatch, `Level ${z + 1}: grey of ${Math.round(percent)} %`);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Cells of level ${z + 1} of ${depth}`);
  tile.append(canvas, caption);
  return tile;
}

/** What each cell of a level makes of that level's grey: RGBA. */
function levelColours(grid, { depth, rows, columns, outputs }, z) {
  const grey = (z + 0.5) / depth;
  const firstRow = outputs - 3; // a pyramid's finest level stands last
  const out = new Uint8ClampedArray(rows * columns * 4);
  for (let place = 0; place < rows * columns; place++) {
    for (let channel = 0; channel < 3; channel++) {
      const at = ((z * rows * columns + place) * outputs + firstRow + channel) * 4;
      const value = (grid[at] + grid[at + 1] + grid[at + 2]) * grey + grid[at + 3];
      out[place * 4 + channel] = value * 255; // clamps
    }
    out[place * 4 + 3] = 255;
  }
  return out;
}
