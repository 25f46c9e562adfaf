// Brings the figures of the website to life: each is a picture, native controls, and a list of frames, one a state.
"use strict";
for (const root of document.querySelectorAll(".explore")) {
  const image = root.querySelector("img");
  const message = root.querySelector(".explore-message");
  const inputs = [...root.querySelectorAll("input")];
  const frames = root.dataset.frames.split(" ");
  const figure = root.closest("figure[id]");
  const labels = inputs.map((input) => (input.type === "checkbox" ? ["off", "on"] : JSON.parse(input.dataset.labels)));
  const titles = inputs.map((input) => input.closest("label").querySelector("span").textContent);
  const cache = new Map();
  let latest = 0;
  let playing = null;

  const read = () => inputs.map((input) => (input.type === "checkbox" ? Number(input.checked) : Number(input.value)));
  const index = (state) => state.reduce((sum, value, i) => sum * labels[i].length + value, 0);
  const load = (at) => {
    const source = root.dataset.folder + frames[at];
    if (!cache.has(source)) {
      const frame = new Image();
      frame.src = source;
      cache.set(source, frame.decode().then(() => source, (error) => { cache.delete(source); throw error; }));
    }
    return cache.get(source);
  };

  async function show() {
    const state = read();
    const ticket = ++latest;
    inputs.forEach((input, i) => {
      if (input.type === "checkbox") return;
      input.setAttribute("aria-valuetext", labels[i][state[i]]);
      input.closest(".explore-control").querySelector("output").textContent = labels[i][state[i]];
    });
    try {
      const source = await load(index(state));
      if (ticket !== latest) return; // a later move won
      image.src = source;
      image.alt = `${root.dataset.alt} Now shown: ${titles.map((title, i) => `${title} ${labels[i][state[i]]}`).join(", ")}.`;
      message.textContent = "";
      ahead();
    } catch {
      if (ticket === latest) message.textContent = "This picture could not be loaded.";
    }
  }

  // Ahead of the reader: every frame that one control alone can reach from here, the nearest first.
  function ahead() {
    const state = read();
    const reach = state.flatMap((value, i) => labels[i].map((_, v) => (
      { far: Math.abs(v - value), at: index(state.map((old, j) => (j === i ? v : old))) })));
    for (const { at } of reach.sort((one, other) => one.far - other.far)) load(at).catch(() => {});
  }
  for (const event of ["pointerenter", "focusin", "touchstart"]) root.addEventListener(event, ahead, { passive: true });

  // The choice lives in the address, so that a state can be linked: #fig-name?control=label&…
  let pending;
  function remember() {
    clearTimeout(pending);
    pending = setTimeout(() => {
      const chosen = new URLSearchParams(inputs.map((input, i) => [input.dataset.name, labels[i][read()[i]]]));
      history.replaceState(null, "", `#${figure.id}?${chosen}`);
    }, 300); // browsers refuse an address that changes with every pixel of a drag
  }
  function recall() {
    const [id, query] = decodeFragment();
    if (!figure || id !== figure.id || query === undefined) return;
    const chosen = new URLSearchParams(query);
    inputs.forEach((input, i) => {
      const value = labels[i].indexOf(chosen.get(input.dataset.name));
      if (value < 0) return;
      if (input.type === "checkbox") input.checked = value === 1;
      else input.value = value;
    });
    show();
    figure.scrollIntoView();
  }

  const button = root.querySelector(".explore-play");
  const slider = button?.parentElement.querySelector("input");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  function stop() {
    if (!playing) return;
    clearTimeout(playing);
    playing = null;
    button.textContent = "▶";
    button.setAttribute("aria-label", button.getAttribute("aria-label").replace("Pause", "Play"));
    if (figure) remember();
  }
  function step() { // from the last frame on to the first
    slider.value = slider.value === slider.max ? slider.min : Number(slider.value) + 1;
    return show();
  }
  async function run() {
    await step();
    if (!playing) return; // stopped while the frame was on its way
    if (slider.value === slider.max) return stop();
    playing = setTimeout(run, 250);
  }
  button?.addEventListener("click", () => {
    ahead();
    if (playing) return stop();
    if (still.matches) { // no motion of its own: each press is one step
      step();
      return figure && remember();
    }
    button.textContent = "❚❚";
    button.setAttribute("aria-label", button.getAttribute("aria-label").replace("Play", "Pause"));
    playing = setTimeout(run, 0);
  });
  if (button) new IntersectionObserver((entries) => entries.some((entry) => !entry.isIntersecting) && stop()).observe(image);

  for (const input of inputs) input.addEventListener("input", () => { stop(); show(); if (figure) remember(); });
  addEventListener("hashchange", recall);
  recall();
}
function decodeFragment() { // the names of figures need no decoding, and a stray % would make it throw
  const [id, ...query] = location.hash.slice(1).split("?");
  return [id, query.length ? query.join("?") : undefined];
}
