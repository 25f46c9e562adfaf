// Words as the search compares them, and their marks on the page to which a result leads.
"use strict";
const GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma tau upsilon phi chi psi omega".split(" ");
const SILENT = new Set("a an and are as at be by for from how in is it of on or s that the this to what which why with".split(" "));

// A word without case, accents and the shape of its letters: Hyvärinen is hyvarinen, σ² is sigma2.
function fold(word) {
  const letters = word.normalize("NFKD").toLowerCase().replace(/\p{M}/gu, "");
  return letters.replace(/[α-ω]/g, (letter) => GREEK[letter.charCodeAt(0) - 945]).replaceAll("∇", "nabla");
}

// The words of a text, each with its parts: log-likelihood, annealed_langevin and GaussianMixture have two.
function words(text) {
  const part = String.raw`(?:\p{N}+\.\p{N}+|[\p{L}\p{M}\p{N}∇]+)`;
  return [...text.matchAll(RegExp(`${part}(?:[-‐‑–_]${part})*`, "gu"))].map((found) => ({
    whole: fold(found[0].replace(/[-‐‑–_]/g, "")),
    start: found.index,
    end: found.index + found[0].length,
    parts: [...found[0].matchAll(/\p{N}+\.\p{N}+|[\p{L}\p{M}\p{N}∇]+?(?=[^\p{L}\p{M}\p{N}∇]|$|(?<=\p{Ll})\p{Lu})/gu)].map((inner) => (
      { word: fold(inner[0]), start: found.index + inner.index, end: found.index + inner.index + inner[0].length })),
  }));
}

// What is looked for: all words but those that stand everywhere, unless there is no other.
function terms(query) {
  const all = words(query.slice(0, 200)).slice(0, 12);
  const telling = all.filter((term) => !SILENT.has(term.whole));
  return telling.length ? telling : all;
}

// How well a word is the one looked for, from 0 to 1: the same, its singular or plural, a word that begins with it.
function likeness(word, wanted) {
  if (word === wanted) return 1;
  if (/^\d/.test(wanted) || wanted.length < 3) return 0;
  if (singular(word) === singular(wanted)) return 0.9;
  return word.startsWith(wanted) || (wanted.length > 4 && word.startsWith(singular(wanted))) ? 0.6 : 0;
}
const singular = (word) => (word.length < 4 || /(ss|us|is)$/.test(word) ? word : word.replace(/ies$/, "y").replace(/s$/, ""));

// Where the words looked for stand in a text: [start, end, which]. One of several parts stands whole, or its parts in a row;
// where it does neither, its parts do anywhere, unless that is too loose.
function places(text, wanted, loose = true) {
  const all = words(text);
  const parts = all.flatMap((word) => word.parts);
  const found = wanted.flatMap((term, which) => {
    const whole = all.filter((word) => word.parts.length > 1 && likeness(word.whole, term.whole)).map(({ start, end }) => [start, end, which]);
    const rows = parts.flatMap((part, at) => {
      if (likeness(part.word, term.whole)) return [[part.start, part.end, which]];
      const row = parts.slice(at, at + term.parts.length);
      return row.length === term.parts.length && row.every(({ word }, i) => likeness(word, term.parts[i].word)) ? [[part.start, row.at(-1).end, which]] : [];
    });
    const some = [...whole, ...rows];
    if (some.length || term.parts.length < 2 || !loose) return some;
    return parts.filter(({ word }) => term.parts.some((part) => likeness(word, part.word))).map(({ start, end }) => [start, end, which]);
  });
  found.sort((one, other) => one[0] - other[0] || other[1] - one[1]);
  let last = 0;
  return found.filter(([start, end]) => start >= last && (last = end)); // none within another
}

// A result of the search asks for marks: page.html?highlight=words#place. They are painted, and change nothing in the page.
const asked = new URL(location).searchParams.get("highlight");
if (asked && CSS.highlights) addEventListener("load", mark);
function rangesOf(wanted, loose) {
  const unread = ".math, mjx-container, script, style, svg, button, .headerlink, .definition, .explore-controls";
  const texts = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT, (node) => (
    node.parentElement.closest(unread) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
  const ranges = [];
  while (texts.nextNode()) {
    for (const [start, end] of places(texts.currentNode.data, wanted, loose)) {
      const range = new Range();
      range.setStart(texts.currentNode, start);
      range.setEnd(texts.currentNode, end);
      ranges.push(range);
    }
  }
  return ranges;
}
function mark() {
  const wanted = terms(asked);
  const exact = rangesOf(wanted, false);
  const ranges = exact.length ? exact : rangesOf(wanted, true);
  if (!ranges.length) return;
  CSS.highlights.set("search", new Highlight(...ranges));

  // The first mark in the place is seen, unfolded if need be; a picture stays whole, its caption below the screen or not.
  const target = document.getElementById(decodeFragment()[0]);
  const place = target?.closest("dt")?.parentElement ?? target;
  const within = ranges.filter((range) => !place || place.contains(range.startContainer));
  const seen = (range) => range.startContainer.parentElement.checkVisibility();
  if (within.length && !within.some(seen)) unfold(within[0].startContainer.parentElement);
  const first = within.find(seen);
  if (first && !place?.matches("figure")) {
    const { top, bottom } = first.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) first.startContainer.parentElement.scrollIntoView({ block: "center" });
  }

  const bar = document.createElement("div");
  bar.className = "search-marks d-print-none";
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Hide", title: "Hide the marks (Escape)" });
  const hide = () => {
    CSS.highlights.delete("search");
    bar.remove();
    removeEventListener("keydown", leave);
    const plain = new URL(location);
    plain.searchParams.delete("highlight");
    history.replaceState(history.state, "", plain);
  };
  const leave = (event) => event.key === "Escape" && !document.querySelector("dialog[open]") && hide();
  button.addEventListener("click", hide);
  addEventListener("keydown", leave);
  bar.append(status, button);
  document.querySelector("article").append(bar);
  status.textContent = `“${asked}”: ${ranges.length} ${ranges.length > 1 ? "marks" : "mark"}`; // said, since the place for it is there
}
