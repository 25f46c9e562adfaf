// What a law, a field and particles look like on a canvas: the book's own picture, at the screen's rate.
"use strict";

const WHEEL = ["#0072b2", "#00a07a", "#e0a100", "#d55e00", "#b5478f", "#0072b2"]; // once round, as in notes.plots
const MODES = 100; // at most, in an address
const INK = 256; // the colour of what was dropped, behind the wheel's
const LEVELS = [0.03, 0.1, 0.25, 0.45, 0.65, 0.85]; // contours, as shares of the peak
const PALETTE = Uint32Array.from({ length: 257 }, (_, i) => {
  const at = i / 256 * (WHEEL.length - 1), k = Math.min(Math.floor(at), WHEEL.length - 2), [low, high] = [WHEEL[k], WHEEL[k + 1]].map(channels);
  const [r, g, b] = i === INK ? channels("#222222") : low.map((value, c) => Math.round(value + (at - k) * (high[c] - value)));
  return 0xff000000 | b << 16 | g << 8 | r;
});

function channels(colour) {
  return [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
}

// A colour of the wheel for each particle, by its direction from the middle of them all.
function coloursByStart({ x, y, n }) {
  const middle = (values) => values.reduce((sum, value) => sum + value, 0) / n;
  const [mx, my] = [middle(x), middle(y)];
  return Uint16Array.from(x, (_, i) => Math.floor((Math.atan2(y[i] - my, x[i] - mx) / (2 * Math.PI) + 1) % 1 * 256));
}

class Stage {
  constructor(canvas, extent) {
    this.canvas = canvas;
    this.extent = extent; // {left, right, bottom, top}
    this.context = canvas.getContext("2d", { alpha: false });
    this.ground = document.createElement("canvas").getContext("2d", { alpha: false, willReadFrequently: true });
    this.fit();
  }
  fit() { // as many dots as the screen has; whether that changed
    const dots = Math.min(devicePixelRatio, 2), width = Math.round(this.canvas.clientWidth * dots);
    const { left, right, bottom, top } = this.extent;
    if (!width || width === this.canvas.width && this.image) return false;
    this.unit = width / (right - left);
    this.dots = dots;
    for (const canvas of [this.canvas, this.ground.canvas]) [canvas.width, canvas.height] = [width, Math.round(this.unit * (top - bottom))];
    this.image = this.context.createImageData(width, this.canvas.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    return true;
  }
  // A law's contours and a field's arrows; `error`, if there is one, is a function of (x[], y[]) into values from 0 to 1.
  setGround(law, field, error) {
    const { ground, extent } = this, { width, height } = ground.canvas;
    const nx = 129, ny = 97, [x, y] = this.lattice(nx, ny, 0), p = new Float64Array(nx * ny);
    for (let i = 0; i < p.length; i++) p[i] = law.look(x[i], y[i]);
    const peak = Math.max(...p, ...law.modes.map((mode) => law.look(mode.x, mode.y)));
    for (let i = 0; i < p.length; i++) p[i] = Math.exp(p[i] - peak);
    const wrong = error && error(x, y), small = new ImageData(nx, ny);
    const [pale, deep] = [[255, 255, 255], [174, 191, 206]], red = [213, 94, 0];
    for (let i = 0; i < p.length; i++) {
      const [share, to] = wrong ? [wrong[i], red] : [p[i] < LEVELS[0] ? 0 : p[i], deep];
      for (let c = 0; c < 3; c++) small.data[4 * i + c] = pale[c] + share * (to[c] - pale[c]);
      small.data[4 * i + 3] = 255;
    }
    const tile = document.createElement("canvas");
    [tile.width, tile.height] = [nx, ny];
    tile.getContext("2d").putImageData(small, 0, 0);
    const [dx, dy] = [width / (nx - 1), height / (ny - 1)];
    ground.drawImage(tile, -dx / 2, -dy / 2, nx * dx, ny * dy);
    ground.lineWidth = 0.8 * this.dots;
    ground.strokeStyle = "#7d90a1";
    ground.beginPath();
    for (const level of LEVELS) contour(p, nx, ny, level, (u, v) => [u * dx, v * dy], ground);
    ground.stroke();
    this.arrows(field);
    this.groundPixels = new Uint32Array(ground.getImageData(0, 0, width, height).data.buffer);
  }
  lattice(nx, ny, margin) { // from the top left, by rows
    const { left, right, bottom, top } = this.extent, [x, y] = arrays(2, nx * ny);
    for (let i = 0; i < nx * ny; i++) {
      x[i] = left + margin + (right - left - 2 * margin) * (i % nx) / (nx - 1);
      y[i] = top - margin - (top - bottom - 2 * margin) * Math.floor(i / nx) / (ny - 1);
    }
    return [x, y];
  }
  arrows(field) { // their lengths grow as the root of the field's, so that weak ones still show
    const { ground, unit } = this, space = (this.extent.right - this.extent.left) / 23;
    const [x, y] = this.lattice(23, 17, space / 2), [u, v] = arrays(2, x.length);
    field.score(x, y, u, v);
    const length = u.map((value, i) => Math.hypot(value, v[i])), longest = Math.max(...length), w = 0.9 * this.dots;
    ground.fillStyle = "#c2c8ce";
    for (let i = 0; i < x.length; i++) {
      const size = 0.9 * space * unit * Math.sqrt(length[i] / longest), head = Math.min(4.5 * w, size);
      if (!(size > 0)) continue;
      const [cx, cy] = this.toScreen(x[i], y[i]), [c, s] = [u[i] / length[i], -v[i] / length[i]];
      const outline = [[-size / 2, w], [size / 2 - head, w], [size / 2 - head, 2.6 * w], [size / 2, 0]];
      ground.beginPath();
      for (const [along, side] of [...outline, ...outline.reverse().map(([a, b]) => [a, -b])]) ground.lineTo(cx + along * c - side * s, cy + along * s + side * c);
      ground.fill();
    }
  }
  draw({ x, y, n }, colours) {
    const { pixels, image, unit, extent } = this, { width, height } = image;
    pixels.set(this.groundPixels);
    const side = Math.round(this.dots * (n > 30000 ? 1 : n > 3000 ? 2 : 4)), half = (side - 1) / 2, shape = [];
    for (let i = 0; i < side * side; i++) { // the pixels of a dot, a square or, where it is large enough, a disc
      const [u, v] = [i % side, Math.floor(i / side)];
      if (side < 3 || Math.hypot(u - half, v - half) <= side / 2) shape.push(v * width + u);
    }
    for (let i = 0; i < n; i++) {
      const column = (x[i] - extent.left) * unit - half | 0, row = (extent.top - y[i]) * unit - half | 0, colour = PALETTE[colours[i]];
      if (!(column >= 0 && row >= 0 && column <= width - side && row <= height - side)) continue;
      for (const shift of shape) pixels[row * width + column + shift] = colour;
    }
    this.context.putImageData(image, 0, 0);
  }
  toScreen(x, y) {
    return [(x - this.extent.left) * this.unit, (this.extent.top - y) * this.unit];
  }
  toPlane(event) { // where a pointer is
    const box = this.canvas.getBoundingClientRect(), { left, right, bottom, top } = this.extent;
    return [left + (right - left) * (event.clientX - box.left) / box.width, top - (top - bottom) * (event.clientY - box.top) / box.height];
  }
}

// The line of one level through values on a lattice, a piece in each cell (marching squares).
function contour(values, nx, ny, level, place, path) {
  for (let row = 0; row < ny - 1; row++) {
    for (let column = 0; column < nx - 1; column++) {
      const a = row * nx + column, corners = [a, a + 1, a + nx + 1, a + nx], ends = [];
      corners.forEach((from, side) => {
        const to = corners[(side + 1) % 4];
        if (values[from] < level === values[to] < level) return;
        const t = (level - values[from]) / (values[to] - values[from]), at = (index) => [index % nx, Math.floor(index / nx)], [[u, v], [p, q]] = [at(from), at(to)];
        ends.push(place(u + t * (p - u), v + t * (q - v)));
      });
      for (let k = 0; k + 1 < ends.length; k += 2) {
        path.moveTo(...ends[k]);
        path.lineTo(...ends[k + 1]);
      }
    }
  }
}

// The settings in an address, those that are there and make sense; null where there is no law.
function read(query) {
  const given = new URLSearchParams(query);
  const modes = (given.get("modes") ?? "").split(";").map((mode) => mode.split(",").map(Number)).filter((mode) => (
    mode.length === 4 && mode.every((value) => Math.abs(value) < 1e6) && mode[2] > 0 && mode[3] > 0)).slice(0, MODES);
  if (!modes.length) return null;
  const found = { modes: modes.map(([x, y, std, weight]) => ({ x, y, std, weight })) };
  for (const [name, low, high] of [["tau", 1e-8, 10], ["T", 0, 100], ["sigma", 0, 100], ["n", 1, 1e5]]) {
    const value = Number(given.get(name) || NaN);
    if (value >= low && value <= high) found[name] = name === "n" ? Math.round(value) : value;
  }
  const start = given.get("start");
  if (["white noise", "uniform", "one point", "p itself"].includes(start)) found.start = start;
  if (given.get("score") === "learned") found.field = "learned";
  return { tau: 0.01, T: 1, sigma: 0, start: "white noise", ...found, corrected: given.get("corrected") === "on" };
}
