// Brings the figures of the website to life: each is a picture, native controls, and a list of frames, one a state.
"use strict";

const AT_ONCE = 4; // frames fetched ahead at one time; a browser has six connections, and a reader's move needs one
const RESERVE = 6; // frames that a play has at hand before it starts
const PATIENCE = 200; // milliseconds, after which a picture on its way is said to be
const HOLD = 300; // milliseconds, after which a press is held
const NOT_LOADED = "This picture could not be loaded.";
const still = matchMedia("(prefers-reduced-motion: reduce)");

// The files of a figure's frames. What is loaded is decoded and kept, so that a change of pictures leaves no gap.
class Frames {
  constructor(folder, names) {
    this.sources = names.map((name) => folder + name);
    this.loads = new Map(); // by source, each a promise
    this.ready = new Map(); // by source, each an image: held, so that the browser holds it
    this.ahead = [];
    this.busy = 0;
  }
  isReady(at) {
    return this.ready.has(this.sources[at]);
  }
  load(at) {
    const source = this.sources[at];
    if (!this.loads.has(source)) {
      const image = new Image();
      image.src = source;
      this.loads.set(source, image.decode().then(
        () => { this.ready.set(source, image); },
        (error) => { this.loads.delete(source); throw error; }));
    }
    return this.loads.get(source);
  }
  fetch(ahead) { // in this order, a few at a time, in place of what was to be fetched before
    this.ahead = ahead;
    while (this.busy < AT_ONCE && this.ahead.length) {
      const at = this.ahead.shift();
      if (this.isReady(at)) continue;
      this.busy++;
      const next = () => { this.busy--; this.fetch(this.ahead); };
      this.load(at).then(next, next);
    }
  }
}

// A slider, a checkbox or a row of radio buttons. Its value is the index of one of its labels.
class Control {
  constructor(element, group) {
    this.name = element.dataset.name;
    this.labels = JSON.parse(element.dataset.labels);
    this.title = element.querySelector(".explore-title").textContent;
    this.output = element.querySelector("output");
    this.play = element.querySelector(".explore-play");
    this.inputs = [...element.querySelectorAll("input")];
    // Radio buttons need a common name. It is made here: the theme's search takes any input named q for its own.
    if (this.kind === "radio") for (const input of this.inputs) input.name = group;
  }
  get kind() {
    return this.inputs[0].type;
  }
  get value() {
    if (this.kind === "radio") return this.inputs.findIndex((input) => input.checked);
    return this.kind === "checkbox" ? Number(this.inputs[0].checked) : Number(this.inputs[0].value);
  }
  set value(at) {
    if (this.kind === "radio") this.inputs[at].checked = true;
    else if (this.kind === "checkbox") this.inputs[0].checked = at === 1;
    else this.inputs[0].value = at;
    this.say();
  }
  say() {
    if (!this.output) return;
    this.output.textContent = this.labels[this.value];
    this.inputs[0].setAttribute("aria-valuetext", this.labels[this.value]);
  }
}

class Explorer {
  constructor(root, number) {
    this.root = root;
    this.image = root.querySelector("img");
    this.image.decoding = "sync"; // what takes its place is decoded, and is to be seen at once
    this.part = (name) => root.querySelector(`.explore-${name}`);
    this.figure = root.closest("figure[id]");
    this.frames = new Frames(root.dataset.folder, root.dataset.frames.split(" "));
    this.opens = root.dataset.playground && JSON.parse(root.dataset.playground);
    this.controls = [...root.querySelectorAll(".explore-control")].map(
      (element, i) => new Control(element, `explore-${number}-${i}`));
    this.moving = this.controls.find((control) => control.play);
    this.latest = 0; // counts the pictures asked for
    this.late = 0; // how many of them are long on their way
    this.run = null; // the play that is on
    this.pinned = null; // a state
    this.comparing = false;
    this.touched = false;
    this.offer(this.state);
    this.listen();
    this.recall();
  }

  // A state is the indices of the controls' values.
  get state() {
    return this.controls.map((control) => control.value);
  }
  get wanted() {
    return this.comparing ? this.pinned : this.state;
  }
  index(state) {
    return state.reduce((sum, value, i) => sum * this.controls[i].labels.length + value, 0);
  }
  along(control) { // the frames that this control alone can reach from here, by its values
    return control.labels.map((_, value) => this.index(this.controls.map((c) => (c === control ? value : c.value))));
  }
  words(state) {
    return this.controls.map((control, i) => `${control.title} ${control.labels[state[i]]}`).join(", ");
  }

  // The picture
  async show() {
    const ticket = ++this.latest, state = this.wanted;
    try {
      await this.patiently(this.frames.load(this.index(state)));
    } catch {
      if (ticket === this.latest) this.part("message").textContent = NOT_LOADED;
      return;
    }
    if (ticket !== this.latest) return; // a later move won
    this.paint(state);
    this.lookAhead();
  }
  paint(state) {
    this.image.src = this.frames.sources[this.index(state)];
    this.image.alt = `${this.root.dataset.alt} Now shown: ${this.words(state)}.`;
    this.part("message").textContent = "";
    this.offer(state);
  }
  async patiently(arrival) { // with a sign where it takes long
    let isLate = false;
    const timer = setTimeout(() => { isLate = true; this.late++; this.mark(); }, PATIENCE);
    try {
      await arrival;
    } finally {
      clearTimeout(timer);
      if (isLate) this.late--;
      this.mark();
    }
  }
  mark() {
    const badge = this.part("badge");
    badge.textContent = this.comparing ? `pinned: ${this.words(this.pinned)}` : this.late ? "loading…" : "";
    badge.hidden = !badge.textContent;
    this.image.setAttribute("aria-busy", this.late > 0);
  }
  lookAhead() { // to every frame that one control alone can reach from here, the nearest first
    if (this.run) return;
    const reach = this.controls.flatMap((control) => this.along(control).map(
      (at, value) => ({ at, far: Math.abs(value - control.value) })));
    this.frames.fetch(reach.sort((one, other) => one.far - other.far).map(({ at }) => at));
  }

  // Play: at a steady pace by the clock, with a reserve of frames at hand, for which it waits when it runs out
  async play(byReader) {
    const run = (this.run = { byReader }), { labels, value, play } = this.moving;
    const interval = Number(play.dataset.interval), frames = this.along(this.moving);
    this.face("Pause", "❚❚");
    let due = null, reserve = RESERVE;
    for (let next = byReader && value < labels.length - 1 ? value + 1 : 0; next < labels.length; next++) {
      if (due === null || !this.frames.isReady(frames[next])) {
        if (!await this.gather(frames.slice(next), reserve, run)) return;
        due = performance.now();
        reserve *= 2; // a slow line is to stop it now and then for longer, and not at every turn
      }
      const now = await moment(due);
      if (this.run !== run) return; // stopped meanwhile
      due = Math.max(due, now - interval) + interval;
      this.latest++; // a picture asked for before comes too late
      this.moving.value = next;
      this.paint(this.state);
    }
    this.stop();
  }
  async gather(frames, reserve, run) { // whether they came while it was still wanted
    this.frames.fetch([...frames]);
    const arrive = async () => {
      for (const at of frames.slice(0, reserve)) if (this.run === run) await this.frames.load(at);
    };
    try {
      await this.patiently(arrive());
    } catch {
      if (this.run === run) {
        this.stop();
        this.part("message").textContent = NOT_LOADED;
      }
    }
    return this.run === run;
  }
  stop() {
    if (!this.run) return;
    const { byReader, flow } = this.run;
    this.run = null;
    flow?.stop();
    this.face("Play", "▶");
    this.tell(`Stopped at ${this.words(this.state)}.`);
    this.frames.fetch([]);
    if (!byReader) return;
    this.remember();
    this.lookAhead();
  }
  face(name, sign) {
    this.moving.play.textContent = sign;
    this.moving.play.setAttribute("aria-label", `${name} ${this.moving.title}`);
  }
  press() {
    if (this.run) return this.stop();
    this.compare(false);
    if (!still.matches) return this.flows ? this.flow() : this.play(true);
    this.moving.value = (this.moving.value + 1) % this.moving.labels.length; // no motion of its own: a press is a step
    this.move();
  }
  startByItself() { // once, and for a reader who has chosen nothing and asks for neither rest nor few bytes
    if (this.touched || still.matches || navigator.connection?.saveData || decodeFragment()[1] !== undefined) return;
    this.touched = true;
    if (this.flows) this.flow();
    else this.play(false);
  }
  get flows() { // whether the page can compute what the figure plays (flow.js)
    return "starts" in this.moving.play.dataset && this.opens && typeof Flow === "function";
  }
  flow() {
    this.run = { byReader: false, flow: new Flow(this) };
    this.face("Pause", "❚❚");
  }

  // Pin and compare
  pin() {
    const { wanted } = this, again = this.isPinned(wanted);
    this.compare(false);
    this.pinned = again ? null : wanted;
    this.part("compare").hidden = again;
    this.tell(again ? "unpinned" : "pinned");
    this.offer(this.wanted);
  }
  isPinned(state) {
    return String(state) === String(this.pinned);
  }
  compare(on) {
    if (on === this.comparing) return;
    if (on) this.stop();
    this.comparing = on;
    this.part("compare").setAttribute("aria-pressed", on);
    this.mark();
    this.show();
  }
  listenToHolding() { // the pinned picture is seen while the button is held; after a short press, until the next
    const button = this.part("compare");
    let since = null, before = false;
    const press = () => { since = performance.now(); before = this.comparing; this.compare(true); };
    const release = () => {
      if (since !== null && (before || performance.now() - since > HOLD)) this.compare(false);
      since = null;
    };
    button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); press(); });
    for (const end of ["pointerup", "pointercancel", "blur"]) button.addEventListener(end, release);
    for (const [event, act] of [["keydown", press], ["keyup", release]]) {
      button.addEventListener(event, (key) => {
        if (key.key !== " " && key.key !== "Enter") return;
        key.preventDefault(); // or a click would follow
        if (!key.repeat) act();
      });
    }
    button.addEventListener("click", (event) => { if (event.detail === 0) this.compare(!this.comparing); }); // by a voice
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // what a finger that stays would open
  }

  // Saving, and links: the choice lives in the address, so that a state can be linked, #fig-name?control=label&…
  offer(state) {
    const save = this.part("save");
    save.href = this.frames.sources[this.index(state)];
    const name = `${this.figure?.id ?? "figure"} ${this.words(state)}`;
    save.download = `${name.replace(/[^\p{L}\p{M}\p{N}.−]+/gu, "-").replace(/-$/, "")}.webp`;
    this.part("pin").textContent = this.isPinned(state) ? "unpin" : "pin";
    if (!this.opens) return;
    const open = this.part("try");
    open.href = `${open.getAttribute("href").split("?")[0]}?${this.opens.addresses[this.opens.at[this.index(state)]]}`;
  }
  address(state) {
    const chosen = this.controls.map((control, i) => [control.name, control.labels[state[i]]]);
    return `#${this.figure.id}?${new URLSearchParams(chosen)}`;
  }
  remember() {
    if (!this.figure) return;
    this.linkCaption();
    clearTimeout(this.pending); // browsers refuse an address that changes with every pixel of a drag
    this.pending = setTimeout(() => history.replaceState(null, "", this.address(this.state)), 300);
  }
  linkCaption() {
    const link = this.figure.querySelector("figcaption a.headerlink");
    if (link) link.href = this.address(this.state);
  }
  async copyLink() {
    clearTimeout(this.pending);
    history.replaceState(null, "", this.address(this.wanted));
    try {
      await navigator.clipboard.writeText(location.href);
      this.answer("copied");
    } catch { // an unsafe page, or a reader who does not allow it
      this.answer("copy it from the address bar");
    }
  }
  answer(words) { // on the button itself, for a while
    const link = this.part("link");
    link.textContent = words;
    this.tell(words);
    clearTimeout(this.answered);
    this.answered = setTimeout(() => { link.textContent = "copy link"; this.tell(""); }, 4000);
  }
  recall() {
    const [id, query] = decodeFragment();
    if (!this.figure || id !== this.figure.id || query === undefined) return;
    const chosen = new URLSearchParams(query);
    this.stop();
    this.compare(false);
    for (const control of this.controls) {
      const value = control.labels.indexOf(chosen.get(control.name));
      if (value >= 0) control.value = value;
    }
    this.linkCaption();
    this.show();
    this.figure.scrollIntoView();
  }

  tell(words) { // to those who listen
    this.part("said").textContent = words;
  }
  move(control) { // by the reader
    const flowsOn = this.run?.flow && control !== this.moving;
    this.stop();
    this.compare(false);
    for (const control of this.controls) control.say();
    this.show();
    this.remember();
    if (flowsOn) this.flow();
  }
  listen() {
    const { root } = this, touch = () => { this.touched = true; }, ahead = () => this.lookAhead();
    for (const event of ["pointerdown", "keydown", "focusin"]) root.addEventListener(event, touch);
    for (const event of ["pointerenter", "focusin", "touchstart"]) root.addEventListener(event, ahead, { passive: true });
    root.addEventListener("pointerleave", ({ pointerType }) => {
      if (pointerType === "mouse" && !this.run) this.frames.fetch([]); // a mouse on its way to something else
    });
    for (const control of this.controls) {
      for (const input of control.inputs) input.addEventListener("input", () => this.move(control));
    }
    this.part("pin").addEventListener("click", () => this.pin());
    this.listenToHolding();
    if (this.figure) this.part("link").addEventListener("click", () => this.copyLink());
    else this.part("link").hidden = true;
    if (location.protocol === "file:") { // no script may read a file, nor a link name it: it is shown, to be saved from there
      Object.assign(this.part("save"), { target: "_blank", textContent: "open picture", title: "Open this picture, to save it from there" });
    }
    addEventListener("hashchange", () => this.recall());
    if (this.moving) this.listenToPlay();
  }
  listenToPlay() {
    const { play } = this.moving;
    play.addEventListener("click", () => this.press());
    addEventListener("keydown", ({ key }) => { if (key === "Escape") this.stop(); });
    const sight = new IntersectionObserver((entries) => {
      const { isIntersecting, intersectionRatio } = entries.at(-1);
      if (!isIntersecting) this.stop();
      else if (intersectionRatio >= 0.5 && "starts" in play.dataset) this.startByItself();
    }, { threshold: [0, 0.5] });
    addEventListener("load", () => sight.observe(this.image)); // what the page needs comes first
  }
}

function moment(due) { // the next drawing of the screen that is not before
  return new Promise((resolve) => {
    const look = (now) => (now >= due ? resolve(now) : requestAnimationFrame(look));
    requestAnimationFrame(look);
  });
}

function decodeFragment() { // the names of figures need no decoding, and a stray % would make it throw
  const [id, ...query] = location.hash.slice(1).split("?");
  return [id, query.length ? query.join("?") : undefined];
}

document.querySelectorAll(".explore").forEach((root, number) => new Explorer(root, number));
