// Langevin dynamics on a Gaussian mixture in the plane, and the numbers that judge it: arithmetic alone, without a page.
// Names and laws are those of the package `notes`. Points are two arrays of numbers, x and y; so is a field at them.
"use strict";

// Numbers at random: sfc32 by Chris Doty-Humphrey, of which normal ones are made in pairs by Box and Muller's formula.
class Generator {
  constructor(seed) {
    this.state = Int32Array.of(0, 0, seed, 1);
    for (let i = 0; i < 15; i++) this.whole();
  }
  whole() { // from 0 to 2³² − 1
    const s = this.state, sum = (s[0] + s[1] | 0) + s[3] | 0;
    s[3] = s[3] + 1 | 0;
    s[0] = s[1] ^ s[1] >>> 9;
    s[1] = s[2] + (s[2] << 3) | 0;
    s[2] = (s[2] << 21 | s[2] >>> 11) + sum | 0;
    return sum >>> 0;
  }
  uniform() { // between 0 and 1, and neither
    return (this.whole() + 0.5) / 2 ** 32;
  }
  fillNormal(x, y) {
    for (let i = 0; i < x.length; i++) {
      const radius = Math.sqrt(-2 * Math.log(this.uniform())), angle = 2 * Math.PI * this.uniform();
      x[i] = radius * Math.cos(angle);
      y[i] = radius * Math.sin(angle);
    }
  }
}

// p(x) = Σ w_k N(x; μ_k, s_k² I). Modes are {x, y, std, weight}; weights are normalised here.
class Mixture {
  constructor(modes) {
    const total = modes.reduce((sum, mode) => sum + mode.weight, 0);
    this.modes = modes.map((mode) => ({ ...mode, weight: mode.weight / total }));
    const of = (value) => Float64Array.from(this.modes, value);
    this.x = of((mode) => mode.x);
    this.y = of((mode) => mode.y);
    this.precision = of((mode) => mode.std ** -2);
    this.constant = of((mode) => Math.log(mode.weight) - Math.log(2 * Math.PI * mode.std ** 2));
    this.part = new Float64Array(modes.length); // of each mode in p at the point that was looked at last
  }
  smoothed(sigma) { // the law of x + σz
    return new Mixture(this.modes.map((mode) => ({ ...mode, std: Math.hypot(mode.std, sigma) })));
  }
  // log p at a point; leaves in `part` each mode's share of p there, its responsibility.
  look(x, y) {
    const { part, constant, precision } = this, n = part.length;
    let most = -Infinity, sum = 0;
    for (let k = 0; k < n; k++) {
      const dx = x - this.x[k], dy = y - this.y[k];
      part[k] = constant[k] - 0.5 * precision[k] * (dx * dx + dy * dy);
      if (part[k] > most) most = part[k];
    }
    for (let k = 0; k < n; k++) {
      part[k] = part[k] - most < -700 ? 0 : Math.exp(part[k] - most); // below, exp is slow and lost in the sum
      sum += part[k];
    }
    for (let k = 0; k < n; k++) part[k] /= sum;
    return most + Math.log(sum);
  }
  // ∇ log p = Σ r_k (μ_k − x)/s_k² into two arrays, and log p into a third.
  score(x, y, intoX, intoY, intoLog = null) {
    const { part, precision } = this, n = part.length;
    for (let i = 0; i < x.length; i++) {
      const log = this.look(x[i], y[i]);
      let sx = 0, sy = 0;
      for (let k = 0; k < n; k++) {
        const pull = part[k] * precision[k];
        sx += pull * (this.x[k] - x[i]);
        sy += pull * (this.y[k] - y[i]);
      }
      intoX[i] = sx;
      intoY[i] = sy;
      if (intoLog) intoLog[i] = log;
    }
  }
  sample(generator, x, y) {
    generator.fillNormal(x, y);
    for (let i = 0; i < x.length; i++) {
      let k = 0;
      for (let left = generator.uniform() - this.modes[0].weight; left > 0 && k < this.modes.length - 1;) left -= this.modes[++k].weight;
      x[i] = this.x[k] + this.modes[k].std * x[i];
      y[i] = this.y[k] + this.modes[k].std * y[i];
    }
  }
  // The Gaussian of the same mean and covariance: what a straight-line field would be at best.
  gaussian() {
    const mean = (value) => this.modes.reduce((sum, mode) => sum + mode.weight * value(mode), 0);
    const x = mean((mode) => mode.x), y = mean((mode) => mode.y);
    const xx = mean((mode) => mode.std ** 2 + (mode.x - x) ** 2), yy = mean((mode) => mode.std ** 2 + (mode.y - y) ** 2);
    const xy = mean((mode) => (mode.x - x) * (mode.y - y)), det = xx * yy - xy * xy;
    return new LinearField(x, y, yy / det, -xy / det, xx / det);
  }
}

// −P (x − m), with the symmetric matrix P.
class LinearField {
  constructor(x, y, xx, xy, yy) {
    Object.assign(this, { x, y, xx, xy, yy });
  }
  score(x, y, intoX, intoY) {
    for (let i = 0; i < x.length; i++) {
      const dx = x[i] - this.x, dy = y[i] - this.y;
      intoX[i] = -(this.xx * dx + this.xy * dy);
      intoY[i] = -(this.xy * dx + this.yy * dy);
    }
  }
}

// A learned field s_θ(x, σ): notes.networks.NoiseConditionalNetwork. Layers are {inputs, weight, bias}, weights by rows.
class Network {
  constructor(layers, waves) {
    this.layers = layers.map((layer) => ({ ...layer, weight: Float64Array.from(layer.weight), out: new Float64Array(layer.bias.length) }));
    this.waves = waves;
  }
  at(sigma) { // the field of x alone
    const log = Math.log(sigma), scale = Math.hypot(1, sigma), first = new Float64Array(this.layers[0].inputs);
    first[2] = log;
    this.waves.forEach((wave, i) => {
      first[3 + i] = Math.sin(wave * log);
      first[3 + this.waves.length + i] = Math.cos(wave * log);
    });
    const score = (x, y, intoX, intoY) => {
      for (let i = 0; i < x.length; i++) {
        first[0] = x[i] / scale;
        first[1] = y[i] / scale;
        const [outX, outY] = this.run(first);
        intoX[i] = outX / sigma;
        intoY[i] = outY / sigma;
      }
    };
    return { score };
  }
  run(values) {
    const last = this.layers.length - 1;
    this.layers.forEach(({ weight, bias, out }, depth) => {
      for (let row = 0, at = 0; row < out.length; row++) {
        let sum = bias[row];
        for (let i = 0; i < values.length; i++) sum += weight[at++] * values[i];
        out[row] = depth < last ? sum / (1 + Math.exp(-sum)) : sum; // SiLU between layers
      }
      values = out;
    });
    return values;
  }
}

// A field kept on a lattice, linear between its points, for fields that cost too much at each particle. It is computed
// some rows at a time; outside its extent {left, right, bottom, top} the value at the nearest edge holds.
class FieldOnLattice {
  constructor(field, extent, nx, ny) {
    Object.assign(this, { field, extent, nx, ny, rows: 0 });
    this.stepX = (extent.right - extent.left) / (nx - 1);
    this.stepY = (extent.top - extent.bottom) / (ny - 1);
    this.x = Float64Array.from({ length: nx }, (_, i) => extent.left + i * this.stepX);
    [this.fieldX, this.fieldY] = [new Float64Array(nx * ny), new Float64Array(nx * ny)];
  }
  get ready() {
    return this.rows === this.ny;
  }
  advance(rows = Infinity) {
    for (const end = Math.min(this.ny, this.rows + rows); this.rows < end; this.rows++) {
      const y = new Float64Array(this.nx).fill(this.extent.bottom + this.rows * this.stepY);
      const [from, to] = [this.rows * this.nx, (this.rows + 1) * this.nx];
      this.field.score(this.x, y, this.fieldX.subarray(from, to), this.fieldY.subarray(from, to));
    }
    return this;
  }
  score(x, y, intoX, intoY) {
    const { nx, ny, fieldX, fieldY, extent } = this;
    for (let i = 0; i < x.length; i++) {
      const u = Math.min(Math.max((x[i] - extent.left) / this.stepX, 0), nx - 1);
      const v = Math.min(Math.max((y[i] - extent.bottom) / this.stepY, 0), ny - 1);
      const column = Math.min(Math.floor(u), nx - 2), row = Math.min(Math.floor(v), ny - 2);
      const a = u - column, b = v - row, at = row * nx + column;
      const weights = [(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b];
      intoX[i] = weights[0] * fieldX[at] + weights[1] * fieldX[at + 1] + weights[2] * fieldX[at + nx] + weights[3] * fieldX[at + nx + 1];
      intoY[i] = weights[0] * fieldY[at] + weights[1] * fieldY[at + 1] + weights[2] * fieldY[at + nx] + weights[3] * fieldY[at + nx + 1];
    }
  }
}

// n particles. A step reads the field where they stand and moves all of them.
class Particles {
  constructor(n, seed) {
    this.generator = new Generator(seed);
    for (const name of ["x", "y", "scoreX", "scoreY", "noiseX", "noiseY"]) this[name] = new Float64Array(n);
  }
  get n() {
    return this.x.length;
  }
  // x ← x + τ s(x) + √(2τT) z
  step(field, stepSize, temperature, draw = true) {
    const { x, y, scoreX, scoreY, noiseX, noiseY } = this, spread = Math.sqrt(2 * stepSize * temperature);
    if (draw) this.generator.fillNormal(noiseX, noiseY);
    field.score(x, y, scoreX, scoreY);
    for (let i = 0; i < x.length; i++) {
      x[i] += stepSize * scoreX[i] + spread * noiseX[i];
      y[i] += stepSize * scoreY[i] + spread * noiseY[i];
    }
  }
  // The same step, kept with the probability that leaves p^(1/T) as it is (Metropolis, Hastings). Returns how many moved.
  correctedStep(law, stepSize, temperature) {
    const { x, y, scoreX, scoreY, noiseX, noiseY, generator } = this, spread = Math.sqrt(2 * stepSize * temperature);
    const other = (this.other ??= Object.fromEntries(["x", "y", "scoreX", "scoreY", "log", "logHere"].map((name) => [name, new Float64Array(this.n)])));
    generator.fillNormal(noiseX, noiseY);
    law.score(x, y, scoreX, scoreY, other.logHere);
    for (let i = 0; i < x.length; i++) {
      other.x[i] = x[i] + stepSize * scoreX[i] + spread * noiseX[i];
      other.y[i] = y[i] + stepSize * scoreY[i] + spread * noiseY[i];
    }
    law.score(other.x, other.y, other.scoreX, other.scoreY, other.log);
    let moved = 0;
    for (let i = 0; i < x.length; i++) {
      const backX = x[i] - other.x[i] - stepSize * other.scoreX[i], backY = y[i] - other.y[i] - stepSize * other.scoreY[i];
      const there = 0.5 * (noiseX[i] ** 2 + noiseY[i] ** 2), back = (backX * backX + backY * backY) / (2 * spread * spread);
      const gain = (other.log[i] - other.logHere[i]) / temperature + there - back;
      if (Math.log(generator.uniform()) < gain) {
        x[i] = other.x[i];
        y[i] = other.y[i];
        moved++;
      }
    }
    return moved;
  }
  // Where they begin: p itself, one point, all over an extent, or around 0 with one standard deviation.
  begin(start, law, extent, scale = 1) {
    const { x, y, generator } = this;
    if (start === "p itself") return law.sample(generator, x, y);
    if (start === "one point") return x.fill(0), y.fill(0);
    if (start === "uniform") {
      for (let i = 0; i < x.length; i++) {
        x[i] = extent.left + (extent.right - extent.left) * generator.uniform();
        y[i] = extent.bottom + (extent.top - extent.bottom) * generator.uniform();
      }
      return undefined;
    }
    generator.fillNormal(x, y);
    for (let i = 0; i < x.length; i++) {
      x[i] *= scale;
      y[i] *= scale;
    }
    return undefined;
  }
}

// What the walk leaves at a mode that stands alone: T s²/(1 − τ/(2s²)), without end from τ = 2s² on.
function stationaryVariance(variance, stepSize, temperature = 1) {
  return stepSize < 2 * variance ? temperature * variance / (1 - stepSize / (2 * variance)) : Infinity;
}

// n noise scales that fall evenly in the logarithm.
function ladder(first, last, n) {
  return Array.from({ length: n }, (_, i) => (i === n - 1 ? last : first * (last / first) ** (i / (n - 1))));
}

// Each mode's share of the particles and its variance, with each particle counted at each mode by its responsibility
// r_k(x): for particles from p these means are w_k and s_k² exactly, however the modes overlap.
function momentsAtModes(law, x, y) {
  const n = law.modes.length, mass = new Float64Array(n), squares = new Float64Array(n);
  for (let i = 0; i < x.length; i++) {
    law.look(x[i], y[i]);
    for (let k = 0; k < n; k++) {
      const dx = x[i] - law.x[k], dy = y[i] - law.y[k];
      if (law.part[k] === 0) continue; // a distance without end counts nothing there
      mass[k] += law.part[k];
      squares[k] += law.part[k] * (dx * dx + dy * dy);
    }
  }
  return { shares: mass.map((m) => m / x.length), variances: squares.map((s, k) => s / (2 * mass[k])) };
}

// E‖a − b‖² / E‖b‖² over points: how far one field is from another.
function relativeError(field, truth, x, y) {
  const [ax, ay, bx, by] = [0, 0, 0, 0].map(() => new Float64Array(x.length));
  field.score(x, y, ax, ay);
  truth.score(x, y, bx, by);
  let off = 0, all = 0;
  for (let i = 0; i < x.length; i++) {
    off += (ax[i] - bx[i]) ** 2 + (ay[i] - by[i]) ** 2;
    all += bx[i] ** 2 + by[i] ** 2;
  }
  return off / all;
}

// Shares of the points in bins between two ends; what lies outside is counted in the total alone.
function histogram(x, left, right, bins) {
  const shares = new Float64Array(bins), width = (right - left) / bins;
  for (let i = 0; i < x.length; i++) {
    const bin = Math.floor((x[i] - left) / width);
    if (bin >= 0 && bin < bins) shares[bin] += 1 / x.length;
  }
  return shares;
}

// Half the sum of differences between two laws on bins, what lies outside being one more, and what chance alone makes of
// it with n points drawn from the second, √(2p(1 − p)/(πn)) for a bin.
function totalVariation(shares, exact, n) {
  const rest = (bins) => [...bins, 1 - bins.reduce((sum, share) => sum + share, 0)];
  const [a, b] = [rest(shares), rest(exact)];
  const half = (term) => a.reduce((sum, _, i) => sum + term(i), 0) / 2;
  return { found: half((i) => Math.abs(a[i] - b[i])), chance: half((i) => Math.sqrt(2 * Math.max(b[i] * (1 - b[i]), 0) / (Math.PI * n))) };
}

// The law p^(1/T) by sums over a lattice: each mode's share E r_k, and the share of each bin along x.
// At T = 1 both are known in closed form, but for the bins, which are narrow and take the density in their middle.
function exactNumbers(law, temperature, left, right, bins) {
  const width = (right - left) / bins;
  if (temperature === 1) {
    const shares = Array.from({ length: bins }, (_, bin) => law.modes.reduce((sum, mode) => {
      const z = (left + (bin + 0.5) * width - mode.x) / mode.std;
      return sum + mode.weight * width * Math.exp(-z * z / 2) / (mode.std * Math.sqrt(2 * Math.PI));
    }, 0));
    return { shares: law.modes.map((mode) => mode.weight), bins: shares };
  }
  const reach = 7 * Math.sqrt(Math.max(temperature, 1)), narrow = Math.sqrt(Math.min(temperature, 1));
  const end = (sign, axis) => sign * Math.max(...law.modes.map((mode) => sign * mode[axis] + reach * mode.std));
  const [low, high, under, over] = [end(-1, "x"), end(1, "x"), end(-1, "y"), end(1, "y")];
  const fine = Math.max(Math.min(...law.modes.map((mode) => mode.std)) * narrow / 1.5, (high - low) / 500);
  const inBin = Math.max(1, Math.round(width / fine)), h = width / inBin; // as many points in each bin
  const from = Math.floor((low - left) / width), to = Math.ceil((high - left) / width);
  if (!((to - from) * inBin * (over - under) / h < 2e6)) return null; // too wide for its bins
  const top = Math.max(...law.modes.map((mode) => law.look(mode.x, mode.y)));
  const shares = new Float64Array(law.modes.length), along = new Float64Array(bins);
  let total = 0;
  for (let bin = from; bin < to; bin++) {
    for (let i = 0; i < inBin; i++) {
      const x = left + bin * width + (i + 0.5) * h;
      let column = 0;
      for (let y = under; y < over; y += h) {
        const p = Math.exp((law.look(x, y) - top) / temperature);
        column += p;
        for (let k = 0; k < shares.length; k++) shares[k] += p * law.part[k];
      }
      total += column;
      if (bin >= 0 && bin < bins) along[bin] += column;
    }
  }
  return { shares: [...shares].map((share) => share / total), bins: [...along].map((share) => share / total) };
}
