// Langevin dynamics on a Gaussian mixture in the plane, and the numbers that judge it: arithmetic alone, without a page.
// Names and laws are those of the package `notes`. Points are two arrays of numbers, x and y; so is a field at them.
"use strict";

const arrays = (count, n) => Array.from({ length: count }, () => new Float64Array(n));

// Numbers at random: sfc32 by Chris Doty-Humphrey, of which normal ones are made in pairs by Marsaglia's polar method.
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
      let u, v, square;
      do {
        u = 2 * this.uniform() - 1;
        v = 2 * this.uniform() - 1;
        square = u * u + v * v; // never 0
      } while (square >= 1);
      const scale = Math.sqrt(-2 * Math.log(square) / square);
      x[i] = scale * u;
      y[i] = scale * v;
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
  // Leaves in `part` what each mode adds to p at a point, over the most that one adds; returns their sum.
  weigh(x, y) {
    const { part, constant, precision, x: mx, y: my } = this, n = part.length;
    let most = -Infinity, sum = 0;
    for (let k = 0; k < n; k++) {
      const dx = x - mx[k], dy = y - my[k];
      part[k] = constant[k] - 0.5 * precision[k] * (dx * dx + dy * dy);
      if (part[k] > most) most = part[k];
    }
    for (let k = 0; k < n; k++) {
      const log = part[k] - most;
      sum += part[k] = log === 0 ? 1 : log > -40 ? Math.exp(log) : 0; // below, lost in the sum
    }
    this.most = most;
    return sum;
  }
  // log p at a point; leaves in `part` each mode's share of p there, its responsibility.
  look(x, y) {
    const { part } = this, sum = this.weigh(x, y);
    for (let k = 0; k < part.length; k++) part[k] /= sum;
    return this.most + Math.log(sum);
  }
  // ∇ log p = Σ r_k (μ_k − x)/s_k² into two arrays, and log p into a third.
  score(x, y, intoX, intoY, intoLog = null) {
    const { part, precision, x: mx, y: my } = this, n = part.length;
    for (let i = 0; i < x.length; i++) {
      const sum = this.weigh(x[i], y[i]);
      let sx = 0, sy = 0;
      for (let k = 0; k < n; k++) {
        const pull = part[k] * precision[k];
        sx += pull * (mx[k] - x[i]);
        sy += pull * (my[k] - y[i]);
      }
      intoX[i] = sx / sum;
      intoY[i] = sy / sum;
      if (intoLog) intoLog[i] = this.most + Math.log(sum);
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
    for (let depth = 0; depth <= last; depth++) {
      const { weight, bias, out } = this.layers[depth], n = values.length;
      for (let row = 0, at = 0; row < out.length; row++) {
        let sum = bias[row];
        for (let i = 0; i < n; i++) sum += weight[at++] * values[i];
        out[row] = depth < last ? sum / (1 + Math.exp(-sum)) : sum; // SiLU between layers
      }
      values = out;
    }
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
    [this.fieldX, this.fieldY] = arrays(2, nx * ny);
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
    const { nx, ny, fieldX, fieldY, stepX, stepY } = this, { left, bottom } = this.extent;
    for (let i = 0; i < x.length; i++) {
      const u = Math.min(Math.max((x[i] - left) / stepX, 0), nx - 1), v = Math.min(Math.max((y[i] - bottom) / stepY, 0), ny - 1);
      const column = Math.min(Math.floor(u), nx - 2), row = Math.min(Math.floor(v), ny - 2), at = row * nx + column;
      const a = u - column, b = v - row, ab = a * b;
      const between = (f) => (1 - a - b + ab) * f[at] + (a - ab) * f[at + 1] + (b - ab) * f[at + nx] + ab * f[at + nx + 1];
      intoX[i] = between(fieldX);
      intoY[i] = between(fieldY);
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
    const [toX, toY, thereX, thereY, log, logHere] = (this.other ??= arrays(6, this.n));
    generator.fillNormal(noiseX, noiseY);
    law.score(x, y, scoreX, scoreY, logHere);
    for (let i = 0; i < x.length; i++) {
      toX[i] = x[i] + stepSize * scoreX[i] + spread * noiseX[i];
      toY[i] = y[i] + stepSize * scoreY[i] + spread * noiseY[i];
    }
    law.score(toX, toY, thereX, thereY, log);
    let moved = 0;
    for (let i = 0; i < x.length; i++) {
      const backX = x[i] - toX[i] - stepSize * thereX[i], backY = y[i] - toY[i] - stepSize * thereY[i];
      const there = 0.5 * (noiseX[i] ** 2 + noiseY[i] ** 2), back = (backX * backX + backY * backY) / (2 * spread * spread);
      const gain = (log[i] - logHere[i]) / temperature + there - back;
      if (gain >= 0 || Math.log(generator.uniform()) < gain) {
        x[i] = toX[i];
        y[i] = toY[i];
        moved++;
      }
    }
    return moved;
  }
  // Where they begin: p itself, the middle of its first mode, all over an extent, or around 0 with one standard deviation.
  begin(start, law, extent, scale = 1) {
    const { x, y, generator } = this;
    if (start === "p itself") law.sample(generator, x, y);
    else if (start === "one point") x.fill(law.x[0]) && y.fill(law.y[0]);
    else if (start === "uniform") {
      for (let i = 0; i < x.length; i++) {
        x[i] = extent.left + (extent.right - extent.left) * generator.uniform();
        y[i] = extent.bottom + (extent.top - extent.bottom) * generator.uniform();
      }
    } else {
      generator.fillNormal(x, y);
      for (const values of [x, y]) values.forEach((value, i) => { values[i] = scale * value; });
    }
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
  const { part, x: mx, y: my } = law, n = part.length, mass = new Float64Array(n), squares = new Float64Array(n);
  for (let i = 0; i < x.length; i++) {
    const sum = law.weigh(x[i], y[i]);
    for (let k = 0; k < n; k++) {
      if (part[k] === 0) continue; // a distance without end counts nothing there
      const dx = x[i] - mx[k], dy = y[i] - my[k], share = part[k] / sum;
      mass[k] += share;
      squares[k] += share * (dx * dx + dy * dy);
    }
  }
  return { shares: mass.map((m) => m / x.length), variances: squares.map((s, k) => s / (2 * mass[k])) };
}

// E‖a − b‖² / E‖b‖² over points: how far one field is from another.
function relativeError(field, truth, x, y) {
  const [ax, ay, bx, by] = arrays(4, x.length);
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

// Half the sum of differences between two laws on bins, what lies outside being one more, and what chance makes of it for
// n points from the second: √(2p(1 − p)/(πn)) in a bin, at most 2p(1 − p).
function totalVariation(shares, exact, n) {
  const rest = (bins) => [...bins, 1 - bins.reduce((sum, share) => sum + share, 0)];
  const [a, b] = [rest(shares), rest(exact)], variance = b.map((p) => Math.max(p * (1 - p), 0));
  const half = (term) => b.reduce((sum, _, i) => sum + term(i), 0) / 2;
  const chance = half((i) => Math.min(Math.sqrt(2 * variance[i] / (Math.PI * n)), 2 * variance[i]));
  return { found: half((i) => Math.abs(a[i] - b[i])), chance };
}

// The law p^(1/T): each mode's share E r_k, and the share of each bin along x. By sums over cells of x, each at Gauss's
// three points, and over a lattice of y, where at T = 1 the sum is known.
function exactNumbers(law, temperature, left, right, bins) {
  const { modes } = law, reach = 6.5 * Math.sqrt(temperature), narrow = Math.sqrt(Math.min(temperature, 1));
  const end = (sign, axis) => sign * Math.max(...modes.map((mode) => sign * mode[axis] + reach * mode.std));
  const [low, high, under, over] = [end(-1, "x"), end(1, "x"), end(-1, "y"), end(1, "y")];
  const fine = Math.max(Math.min(...modes.map((mode) => narrow * mode.std)), (high - low) / (temperature === 1 ? 5000 : 250));
  const width = (right - left) / bins, cells = Math.ceil(width / fine); // in a bin
  const rows = temperature === 1 ? 1 : 2.5 * (over - under) / fine;
  if (!(3 * (high - low) / width * cells * rows * modes.length < 2e7)) return null; // seconds
  const top = Math.max(...modes.map((mode) => law.look(mode.x, mode.y)));
  const shares = new Float64Array(modes.length), along = new Float64Array(bins); // which keeps no other bin
  let total = 0;
  const add = (k, p) => {
    shares[k] += p;
    total += p;
  };
  for (let cell = Math.floor((low - left) / width) * cells; cell * width / cells < high - left; cell++) {
    const before = total;
    for (const [place, times] of [[-1, 5], [0, 8], [1, 5]]) {
      const x = left + (cell + 0.5 + place * Math.sqrt(0.15)) * width / cells;
      if (temperature === 1) modes.forEach(({ x: mean, std, weight }, k) => add(k, times * weight / std * Math.exp(-(((x - mean) / std) ** 2) / 2)));
      else for (let y = under; y < over; y += fine / 2.5) {
        const p = times * Math.exp((law.look(x, y) - top) / temperature);
        for (let k = 0; k < shares.length; k++) add(k, p * law.part[k]);
      }
    }
    along[Math.floor(cell / cells)] += total - before;
  }
  return { shares: [...shares].map((share) => share / total), bins: [...along].map((share) => share / total) };
}
