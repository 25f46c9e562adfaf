// The playground: a reader's own law and walk, and beside the picture each number that has an exact value.
"use strict";

const WIDE = 3.2, HIGH = 2.4; // from the middle of what is seen to its ends
const EXTENT = { left: -WIDE, right: WIDE, bottom: -HIGH, top: HIGH }; // and more of it for a wide law
const BINS = 64; // of the histogram
const SLOW = 36; // milliseconds from frame to frame, above which a page that chose the number of particles takes fewer
const RUNGS = 20, PER_RUNG = 20, RATIO = 0.2; // of annealed Langevin dynamics: τ = ½ r σ² on each rung
const decades = (from, to) => Array.from({ length: to - from }, (_, k) => [1, 2, 3, 5, 7].map((m) => Number(`${m}e${from + k}`))).flat();
const STOPS = {
  tau: [...decades(-4, 0), 1],
  T: [0, 0.25, 0.5, 1, 2, 4],
  sigma: [0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3],
  n: [1000, 3000, 10000, 30000, 100000],
  speed: [1, 2, 5, 10, 20],
  std: [0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.2, 1.5, 2],
  weight: [0.01, 0.02, 0.05, ...Array.from({ length: 9 }, (_, i) => (i + 1) / 10), 0.95, 0.99],
};
const many = (n) => n.toLocaleString("en").replaceAll(",", "\u202f"); // 10 000
const FORMATS = { n: many, weight: (w) => `${short(w * 100)} %` };
const element = (tag, properties) => Object.assign(document.createElement(tag), properties);

function short(value, digits = 3) {
  if (value === Infinity) return "∞";
  if (!Number.isFinite(value)) return "–";
  return String(Number(value.toPrecision(digits))).replace("e+", "e").replace("-", "−");
}

class Playground {
  constructor(root) {
    this.root = root;
    this.part = (name) => root.querySelector(`.playground-${name}`);
    this.scenes = Object.fromEntries(JSON.parse(root.dataset.scenes));
    this.figure = root.closest("figure[id]");
    this.network = new Network(playgroundNetwork.layers.map((layer) => ({ ...layer, weight: floats(layer.weight), bias: floats(layer.bias) })), playgroundNetwork.waves);
    this.show();
    this.stage = new Stage(this.part("stage"), EXTENT);
    this.controls = Object.fromEntries([...root.querySelectorAll(".explore-control")].map((element, i) => [element.dataset.name, new Control(element, `playground-${i}`)]));
    this.values = { field: "exact", painted: false, corrected: false, n: 10000, speed: 1, selected: 0 };
    this.frames = 0; // drawn so far
    this.seed = 1;
    this.listen();
    const [name] = Object.keys(this.scenes);
    if (!this.recall()) this.open(name);
    if (!still.matches) this.run();
  }
  show() { // in place of the picture and its sentence
    for (const name of ["bar", "numbers", "panel", "stage"]) this.part(name).hidden = false;
    this.part("still").hidden = true;
    this.root.classList.add("playground-on");
  }

  // What the reader chose
  open(name) {
    this.set(this.scene(name));
  }
  scene(name) {
    this.opened = name;
    return { ...read(this.scenes[name]), selected: 0, restart: true };
  }
  set({ restart, ...values }) {
    const v = Object.assign(this.values, values);
    v.selected = Math.min(v.selected, v.modes.length - 1);
    if (values.n) this.chose = true;
    if (v.field === "learned" && v.sigma < playgroundNetwork.least) v.sigma = playgroundNetwork.least;
    if ("tau" in values || "sigma" in values || "field" in values || restart) this.descent = null;
    if (restart) this.fitView();
    this.setLaw();
    if (restart) this.begin();
    else if (values.n) this.resize(v.n);
    this.say();
    this.draw();
  }
  fitView() { // twice as far, and again, until the law is seen
    const reach = ({ x, y, std }) => Math.max(Math.abs(x) / WIDE, Math.abs(y) / HIGH) + Math.min(std, 8) / WIDE;
    const zoom = 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(...this.values.modes.map(reach)) / 1.1)));
    Object.assign(EXTENT, { left: -WIDE * zoom, right: WIDE * zoom, bottom: -HIGH * zoom, top: HIGH * zoom });
    this.stage.image = null; // it is to be laid out anew
  }
  setLaw() {
    const { modes, sigma, field } = this.values;
    this.law = new Mixture(modes).smoothed(sigma);
    this.field = field === "learned" ? this.learned(sigma).advance() : this.law;
    this.exact = null;
    this.groundIsOld = true;
  }
  learned(sigma) { // the last one is kept: it depends on neither the law nor the walk
    const noise = Math.max(sigma, playgroundNetwork.least), wide = 3 * noise;
    const extent = { left: EXTENT.left - wide, right: EXTENT.right + wide, bottom: EXTENT.bottom - wide, top: EXTENT.top + wide };
    if (this.kept?.noise !== noise || this.kept.extent.left !== extent.left) {
      this.kept = Object.assign(new FieldOnLattice(this.network.at(noise), extent, 97, 73), { noise });
    }
    return this.kept;
  }
  begin() {
    const { start, n } = this.values;
    this.particles = new Particles(n, this.seed++);
    this.particles.begin(start, this.law, EXTENT);
    this.colours = start === "one point" ? new Uint16Array(n) : coloursByStart(this.particles);
    Object.assign(this, { steps: 0, time: 0, moved: 0, tried: 0, lost: false, descent: null });
  }
  moveTo(from, to, { x, y }) {
    this.particles.x.fill(x, from, to);
    this.particles.y.fill(y, from, to);
  }
  resize(n) { // fewer are some of those that were there; more start anew
    if (n > this.particles.n) return this.begin();
    const { x, y } = this.particles;
    this.particles = new Particles(n, this.seed++);
    this.particles.x.set(x.subarray(0, n));
    this.particles.y.set(y.subarray(0, n));
    this.colours = this.colours.slice(0, n);
  }
  drop(x, y) { // one particle in twenty begins anew there
    const { n } = this.particles, from = Math.floor(this.particles.generator.uniform() * 19) * Math.floor(n / 20), to = from + Math.floor(n / 20);
    this.moveTo(from, to, { x, y });
    this.colours.fill(INK, from, to);
    this.root.classList.add("playground-touched");
    this.draw();
  }

  // The walk
  run() {
    if (this.lost) this.begin();
    this.last = null;
    this.isRunning = true;
    this.face();
    if (!this.waiting) this.waiting = requestAnimationFrame((now) => this.frame(now));
  }
  pause() {
    this.isRunning = false;
    this.face();
    this.tell();
  }
  face() {
    this.part("run").textContent = this.isRunning ? "Pause" : "Run";
  }
  frame(now) {
    this.waiting = null;
    if (!this.isRunning) return;
    this.waiting = requestAnimationFrame((next) => this.frame(next));
    if (this.isHidden) return;
    this.keepPace(now);
    for (let i = 0; i < this.values.speed && this.isRunning; i++) this.step();
    this.draw(this.frames % 8 === 0);
  }
  keepPace(now) { // by itself, until the reader says how many
    if (this.last === null) this.paces = [];
    else this.paces.push(now - this.last);
    this.last = now;
    if (this.paces.length < 20) return;
    const middle = this.paces.sort((a, b) => a - b)[10];
    this.paces = [];
    if (this.chose || middle < SLOW || this.particles.n <= 500) return;
    this.values.n = Math.max(500, Math.round(this.particles.n * 0.7 / 100) * 100);
    this.resize(this.values.n);
    this.say();
  }
  step() {
    if (this.descent) this.down();
    const { tau, T } = this.values;
    if (this.isCorrected) {
      this.moved += this.particles.correctedStep(this.law, tau, T);
      this.tried += this.particles.n;
    } else this.particles.step(this.field, tau, T);
    this.steps++;
    this.time += tau;
    if (!this.particles.x.every(Number.isFinite) || !this.particles.y.every(Number.isFinite)) this.lost = true;
    if (this.descent?.steps === RUNGS * PER_RUNG) this.descent = null;
    else if (!this.lost) return;
    this.pause();
  }
  get isCorrected() { // a learned score has no density to compare, and without noise there is nothing to refuse
    const { corrected, field, T } = this.values;
    return corrected && field === "exact" && T > 0 && !this.descent;
  }

  // Annealed Langevin dynamics: down a ladder of noise, σ² setting the step on each rung
  anneal() {
    const { modes } = this.values, apart = Math.max(...modes.map((a) => Math.max(...modes.map((b) => Math.hypot(a.x - b.x, a.y - b.y)))));
    const least = this.values.field === "learned" ? playgroundNetwork.least : 0.05;
    const sigmas = ladder(Math.max(apart, 1), least, RUNGS), middle = new Mixture(modes).gaussian();
    this.set({ T: 1, sigma: sigmas[0], restart: true });
    this.particles.begin("white noise", this.law, EXTENT, sigmas[0]);
    this.particles.x.forEach((x, i) => { this.particles.x[i] = x + middle.x; this.particles.y[i] += middle.y; });
    this.colours = coloursByStart(this.particles);
    this.descent = { sigmas, steps: 0 };
    this.root.classList.add("playground-touched");
    this.run();
  }
  down() {
    const { descent, values } = this, rung = Math.floor(descent.steps / PER_RUNG);
    if (descent.steps++ % PER_RUNG === 0) {
      const sigma = descent.sigmas[rung];
      Object.assign(values, { sigma, tau: RATIO * sigma ** 2 / 2 });
      this.setLaw();
      this.say();
    }
    if (values.field === "learned" && rung + 1 < RUNGS) this.learned(descent.sigmas[rung + 1]).advance(4); // a few rows a step
  }

  // The picture
  draw(withNumbers = true) {
    const fitted = this.stage.fit();
    if (!this.stage.image) return;
    if (this.groundIsOld || fitted) {
      this.stage.setGround(this.law, this.field, this.values.field === "learned" && this.values.painted ? this.difference() : null);
      this.placeModes();
      this.groundIsOld = false;
    }
    this.stage.draw(this.particles, this.colours);
    this.frames++;
    if (withNumbers) this.number();
  }
  difference() { // as a share of the score's own size: its root mean square under the law
    const [x, y, u, v] = arrays(4, 2000);
    this.law.sample(new Generator(1), x, y);
    this.law.score(x, y, u, v);
    const size = Math.sqrt(u.reduce((sum, value, i) => sum + value ** 2 + v[i] ** 2, 0) / u.length);
    return (px, py) => {
      const [a, b, c, d] = arrays(4, px.length);
      this.field.score(px, py, a, b);
      this.law.score(px, py, c, d);
      return a.map((value, i) => Math.min(1, Math.hypot(value - c[i], b[i] - d[i]) / size));
    };
  }
  placeModes() {
    const { modes, selected, sigma } = this.values, group = this.part("modes"), across = EXTENT.right - EXTENT.left;
    while (group.children.length > modes.length) group.lastChild.remove();
    while (group.children.length < modes.length) group.append(this.handle(group.children.length));
    modes.forEach((mode, k) => {
      const handle = group.children[k];
      handle.style.left = `${(mode.x - EXTENT.left) / across * 100}%`;
      handle.style.top = `${(EXTENT.top - mode.y) / (EXTENT.top - EXTENT.bottom) * 100}%`;
      handle.style.setProperty("--ring", `${2 * Math.hypot(mode.std, sigma) * this.stage.unit / this.stage.dots}px`);
      handle.tabIndex = k === selected ? 0 : -1;
      handle.setAttribute("aria-pressed", k === selected);
      handle.setAttribute("aria-label", `Mode ${k + 1} at ${short(mode.x)}, ${short(mode.y)}`);
    });
  }
  handle(k) {
    const handle = element("button", { type: "button", className: "playground-mode", textContent: k + 1 });
    handle.title = "Drag it, or move it with the arrow keys (finely with Shift); Enter drops particles here, Delete removes it";
    const pick = () => { if (this.values.selected !== k) this.change({ selected: k }); };
    handle.addEventListener("focus", pick);
    handle.addEventListener("pointerdown", (event) => { handle.setPointerCapture(event.pointerId); handle.focus({ preventScroll: true }); pick(); });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId) && event.buttons) this.moveMode(...this.stage.toPlane(event));
    });
    handle.addEventListener("keydown", (event) => this.press(event));
    return handle;
  }
  press(event) {
    const { modes, selected } = this.values, { x, y } = modes[selected], far = event.shiftKey ? 0.02 : 0.1;
    const moves = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, far], ArrowDown: [0, -far] };
    if (moves[event.key]) this.moveMode(x + moves[event.key][0], y + moves[event.key][1]);
    else if (event.key === "Delete") this.remove();
    else if (event.key === "Enter") this.drop(x, y);
    else return;
    event.preventDefault();
  }
  moveMode(x, y) {
    const { left, right, bottom, top } = EXTENT, within = (value, low, high) => Math.round(Math.min(Math.max(value, low), high) * 1000) / 1000;
    this.changeMode({ x: within(x, left, right), y: within(y, bottom, top) });
  }
  changeMode(change) {
    this.change({ modes: this.values.modes.map((mode, k) => (k === this.values.selected ? { ...mode, ...change } : mode)) });
  }
  setWeight(weight) { // of the chosen mode; the others share the rest as before
    const { modes, selected } = this.values, rest = modes.reduce((sum, mode, k) => sum + (k === selected ? 0 : mode.weight), 0);
    this.change({ modes: modes.map((mode, k) => ({ ...mode, weight: k === selected ? weight : mode.weight * (1 - weight) / rest })) });
  }
  add() {
    const { modes, selected } = this.values, n = modes.length;
    if (n === MODES) return;
    const { std } = modes[selected], angle = 2.4 * n, radius = 0.5 + 1.2 * (n * 0.618 % 1); // somewhere else each time
    const mode = { x: Math.round(150 * radius * Math.cos(angle)) / 100, y: Math.round(100 * radius * Math.sin(angle)) / 100, std, weight: 1 / (n + 1) };
    this.change({ modes: [...modes.map((other) => ({ ...other, weight: other.weight * n / (n + 1) })), mode], selected: n });
  }
  remove() {
    const { modes, selected } = this.values;
    if (modes.length === 1) return;
    const left = modes.filter((_, k) => k !== selected), total = left.reduce((sum, mode) => sum + mode.weight, 0);
    const hadFocus = document.activeElement?.matches(".playground-mode");
    this.change({ modes: left.map((mode) => ({ ...mode, weight: mode.weight / total })), selected: Math.max(0, selected - 1) });
    if (hadFocus) this.part("modes").children[this.values.selected].focus();
  }

  // The numbers, each beside its exact value
  number() {
    const { x, y, n } = this.particles, { tau, T, field, modes } = this.values;
    this.exact ??= T > 0 ? exactNumbers(this.law, T, EXTENT.left, EXTENT.right, BINS) : null;
    const { shares, variances } = momentsAtModes(this.law, x, y), body = this.part("numbers").querySelector("tbody");
    while (body.rows.length > modes.length) body.deleteRow(-1);
    while (body.rows.length < modes.length) {
      const row = body.insertRow();
      row.innerHTML = '<th scope="row"></th><td></td><td></td><td></td><td></td>';
      row.cells[0].textContent = body.rows.length;
    }
    this.said = [];
    modes.forEach((_, k) => {
      const row = body.rows[k].cells, share = this.exact?.shares[k], variance = this.law.modes[k].std ** 2;
      const law = this.isCorrected ? T * variance : stationaryVariance(variance, tau, T);
      this.compare(row[1], row[2], shares[k], share, Math.sqrt(share * (1 - share) / n));
      this.compare(row[3], row[4], variances[k], T > 0 ? law : undefined, law / Math.sqrt(Math.max(shares[k] * n, 1)));
      this.said.push(`Mode ${k + 1}: share ${row[1].textContent} of ${row[2].textContent}, variance ${row[3].textContent} of ${row[4].textContent}.`);
    });
    const lines = [["steps", `${many(this.steps)}, time ${short(this.time)}`]];
    if (this.isCorrected && this.tried) lines.push(["accepted", `${short(100 * this.moved / this.tried)} %`]);
    const bins = histogram(x, EXTENT.left, EXTENT.right, BINS);
    if (this.exact) {
      const { found, chance } = totalVariation(bins, this.exact.bins, n);
      lines.push(["histogram off by", `${short(100 * found, 2)} % (chance alone: ${short(100 * chance, 2)} %)`]);
    }
    if (field === "learned") {
      const [off, line] = [this.field, this.law.gaussian()].map((other) => short(relativeError(other, this.law, x, y), 2));
      lines.push(["error of the learned score", `${off} (a straight line: ${line})`]);
    }
    this.part("numbers").querySelector("dl").replaceChildren(...lines.flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })]));
    this.said.push(...lines.map(([name, value]) => `${name} ${value}.`));
    this.part("warning").textContent = this.warning();
    this.drawMargin(bins);
  }
  compare(cell, beside, measured, exact, error) { // more than five standard errors off is marked
    const off = exact !== undefined && !(Math.abs(measured - exact) <= 5 * error);
    cell.textContent = `${off ? (measured > exact ? "▲ " : "▼ ") : ""}${short(Math.abs(measured) < 1e-6 ? 0 : measured)}`;
    cell.classList.toggle("playground-off", off);
    beside.textContent = exact === undefined ? "–" : short(exact);
  }
  warning() {
    const { tau, T, field, modes } = this.values;
    if (this.lost) return `After ${this.steps} steps particles have left every bound: a walk diverges where τ exceeds 2s² of the widest mode.`;
    if (field === "learned" && !this.isLawOf(playgroundNetwork.scene, modes)) return `The network has learned ${playgroundNetwork.scene}, and this is another law.`;
    if (T === 0) return "Without noise there is no law to reach: every particle climbs to a peak.";
    const bounds = this.law.modes.map((mode) => 2 * mode.std ** 2), past = bounds.flatMap((bound, k) => (tau >= bound ? [k + 1] : []));
    const ends = this.isCorrected ? "most steps are refused" : "the walk diverges, and a mode empties";
    const where = past.length > 1 ? `of modes ${past.join(", ")}` : `= ${short(bounds[past[0] - 1])} of mode ${past[0]}`;
    return past.length ? `τ = ${short(tau)} is past 2s² ${where}: there ${ends}.` : "";
  }
  drawMargin(bins) {
    const canvas = this.part("margin"), dots = Math.min(devicePixelRatio, 2), [width, height] = [canvas.clientWidth * dots, canvas.clientHeight * dots];
    if (canvas.width !== Math.round(width)) [canvas.width, canvas.height] = [width, height].map(Math.round);
    const pen = canvas.getContext("2d"), exact = this.exact?.bins ?? [], most = 1.1 * (exact.length ? Math.max(...exact) : Math.max(...bins));
    const at = (share) => height * (1 - Math.min(share / most, 1));
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = "#8cbfdc";
    bins.forEach((share, i) => pen.fillRect(i * width / BINS, at(share), width / BINS - 0.5, height));
    pen.strokeStyle = "#222";
    pen.lineWidth = 1.8 * dots;
    pen.beginPath();
    exact.forEach((share, i) => pen.lineTo((i + 0.5) * width / BINS, at(share)));
    pen.stroke();
  }
  tell() { // to those who listen, when it stops
    this.number();
    this.root.querySelector(".explore-said").textContent = `${this.steps} steps. ${this.said.join(" ")} ${this.warning()}`;
  }

  // Controls, and the address
  isLawOf(name, modes) {
    return JSON.stringify(read(this.scenes[name]).modes) === JSON.stringify(modes);
  }
  say() {
    const { controls, values } = this, mode = values.modes[values.selected];
    const of = { ...values, std: mode.std, weight: Number((mode.weight / values.modes.reduce((sum, { weight }) => sum + weight, 0)).toPrecision(9)) }; // as its stops are
    for (const [name, stops] of Object.entries({ ...STOPS, selected: values.modes.map((_, k) => k) })) {
      const control = controls[name];
      control.stops = stops.includes(of[name]) ? stops : [...stops, of[name]].sort((a, b) => a - b);
      control.labels = control.stops.map(name === "selected" ? (k) => `${k + 1} of ${stops.length}` : FORMATS[name] ?? ((value) => short(value)));
      control.inputs[0].max = control.stops.length - 1;
      control.value = control.stops.indexOf(of[name]);
    }
    controls.selected.inputs[0].disabled = controls.weight.inputs[0].disabled = this.part("remove").disabled = values.modes.length === 1;
    this.part("add").disabled = values.modes.length === MODES;
    for (const name of ["field", "start"]) controls[name].value = controls[name].labels.indexOf(values[name]);
    for (const name of ["painted", "corrected"]) controls[name].value = Number(values[name]);
    controls.painted.inputs[0].disabled = values.field === "exact";
    controls.corrected.inputs[0].disabled = values.field === "learned" || values.T === 0;
    const now = controls.scene.labels.findIndex((name) => name === this.opened && this.isLawOf(name, values.modes));
    controls.scene.inputs.forEach((input, i) => { input.checked = i === now; });
  }
  change(values) { // by the reader
    this.set(values);
    this.root.classList.add("playground-touched");
    clearTimeout(this.pending);
    this.pending = setTimeout(() => history.replaceState(null, "", this.address), 300);
  }
  get address() {
    const { modes, tau, T, sigma, start, corrected, field, n } = this.values, number = (value) => String(Number(value.toPrecision(4)));
    const query = new URLSearchParams({ modes: modes.map(({ x, y, std, weight }) => [x, y, std, weight].map(number).join(",")).join(";"), tau: number(tau), T: number(T), sigma: number(sigma), start });
    if (corrected) query.set("corrected", "on");
    if (field === "learned") query.set("score", "learned");
    if (this.chose) query.set("n", n);
    return `#${this.figure.id}?${String(query).replaceAll("%2C", ",").replaceAll("%3B", ";")}`;
  }
  recall() {
    const [id, query] = decodeFragment(), found = id === this.figure.id && read(query);
    if (!found) return false;
    this.opened = Object.keys(this.scenes).find((name) => this.isLawOf(name, found.modes));
    this.set({ field: "exact", ...found, selected: 0, restart: true });
    this.root.classList.add("playground-touched");
    this.figure.scrollIntoView();
    return true;
  }
  listen() {
    const { controls, root } = this, on = (name, act) => this.part(name).addEventListener("click", () => act());
    on("run", () => (this.isRunning ? this.pause() : this.run()));
    on("step", () => { this.isRunning = false; this.face(); this.step(); this.draw(); this.tell(); });
    on("again", () => { this.begin(); this.draw(); });
    on("anneal", () => this.anneal());
    on("add", () => this.add());
    on("remove", () => this.remove());
    on("link", () => this.copyLink());
    this.part("stage").addEventListener("click", (event) => this.drop(...this.stage.toPlane(event)));
    const reads = {
      scene: (at) => this.change(this.scene(controls.scene.labels[at])),
      field: (at) => this.change({ field: controls.field.labels[at] }),
      start: (at) => this.change({ start: controls.start.labels[at], restart: true }),
      painted: (at) => this.change({ painted: at === 1 }),
      corrected: (at) => { Object.assign(this, { moved: 0, tried: 0 }); this.change({ corrected: at === 1 }); },
      weight: (at) => this.setWeight(controls.weight.stops[at]),
      std: (at) => this.changeMode({ std: controls.std.stops[at] }),
    };
    for (const [name, control] of Object.entries(controls)) {
      const read = reads[name] ?? ((at) => this.change({ [name]: control.stops[at] }));
      for (const input of control.inputs) input.addEventListener("input", () => read(control.value));
    }
    addEventListener("hashchange", () => this.recall());
    new ResizeObserver(() => this.particles && this.draw()).observe(this.part("picture"));
    new IntersectionObserver((entries) => { this.isHidden = !entries.at(-1).isIntersecting; this.last = null; }).observe(root);
  }
  copyLink() {
    history.replaceState(null, "", this.address);
    const answer = (words) => { this.part("link").textContent = words; };
    const refused = () => answer("copy it from the address bar"); // an unsafe page, or a reader who does not allow it
    if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(() => answer("copied"), refused);
    else refused();
  }
}

function floats(base64) {
  return new Float32Array(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer);
}

const playground = new Playground(document.querySelector(".playground"));
