// The search page: finds the places that hold all the words asked for, the best first, page by page.
"use strict";
const LIKED = { Page: 1, Term: 1.2, Symbol: 1, Section: 0.6, Figure: 0.3, Exercise: 0.3, Proof: -0.3, Solution: -0.5, Source: -1, Claim: -1 };
const SHOWN = 4; // of a page's places at once
const field = document.querySelector(".bd-search-container input");
const form = field.form;
const status = document.querySelector("#search-status");
const results = document.querySelector("#search-results");
const all = searchIndex.places.map(([page, above, label, title, anchor, text, code]) => ({ page, above, label, title, anchor, text, code }));
const joined = (wanted) => wanted.flatMap(({ parts }) => parts.map((part) => part.word)).join(" ");
const liked = (label) => LIKED[label.split(" ")[0]] ?? 0.7; // a theorem, a definition, a function

// Every word of the index, and where it stands: in a title, in the text or in code.
const FIELDS = ["title", "text", "code"];
const vocabulary = new Map();
function enter(place, at) {
  const named = { ...place };
  if (/\d/.test(place.label)) named.title = `${place.label} ${place.title}`; // a theorem is found by its number
  if (place.label === "Claim") [named.title, named.text] = ["", `${place.title} ${place.text}`]; // and claims after what they are about
  FIELDS.forEach((name, kind) => {
    for (const { whole, parts } of words(named[name])) {
      for (const word of new Set([whole, ...parts.map((part) => part.word)])) {
        if (!vocabulary.has(word)) vocabulary.set(word, new Map());
        const counts = vocabulary.get(word);
        if (!counts.has(at)) counts.set(at, [0, 0, 0]);
        counts.get(at)[kind] += 1;
      }
    }
  });
  place.names = (place.label === "Term" ? place.title.split(", ") : [place.title]).map((name) => joined(terms(name)));
}
const ready = (async () => { // in short stretches, so that the page answers meanwhile
  let until = 0;
  for (const [at, place] of all.entries()) {
    if (performance.now() > until) {
      await new Promise((resolve) => { setTimeout(resolve); });
      until = performance.now() + 8;
    }
    enter(place, at);
  }
})();

// How well each place has a word: a weight by field, of which the best counts.
function weigh(wanted) {
  const weights = all.map(() => [0, 0, 0]);
  for (const [word, counts] of vocabulary) {
    const like = likeness(word, wanted);
    if (!like) continue;
    for (const [at, count] of counts) {
      [8, 2, 1].forEach((weight, kind) => {
        if (count[kind]) weights[at][kind] = Math.max(weights[at][kind], weight * like * (kind ? 1 + Math.log2(count[kind]) / 8 : 1));
      });
    }
  }
  return weights;
}

// The places that have every word, themselves or in the titles around them, and at least one themselves.
function find(wanted) {
  const weighed = wanted.map(({ whole, parts }) => {
    const wholes = weigh(whole);
    if (parts.length < 2) return wholes;
    const each = parts.map(({ word }) => weigh(word));
    return wholes.map((best, at) => best.map((weight, kind) => (
      weight ? weight + 6 : 0.6 * Math.min(...each.map((weights) => weights[at][kind])))));
  });
  const phrase = joined(wanted);
  const found = [];
  all.forEach((place, at) => {
    let [score, own] = [0, false];
    for (const weights of weighed) {
      const best = Math.max(...weights[at]);
      let around = 0;
      for (let outer = at; !around && outer !== all[outer].above;) around = weights[outer = all[outer].above][0] / 10;
      if (!best && !around) return;
      own ||= best > 0;
      score += Math.max(best, around) / weighed.length;
    }
    if (!own) return;
    const name = place.names.find((name) => ` ${name} `.includes(` ${phrase} `));
    if (place.names.includes(phrase)) score += 6;
    else if (name) score += 2 + 2 * phrase.length / name.length;
    found.push({ ...place, score: score + liked(place.label) - !place.text });
  });
  return found.sort((one, other) => other.score - one.score);
}

// The word of the index that a slip of one or two letters makes of another, or nothing.
function nearest(wanted) {
  let [best, least] = [null, wanted.length > 7 ? 2.5 : 1.5];
  for (const [word, counts] of vocabulary) {
    if (Math.abs(word.length - wanted.length) > 2 || word.length < 4) continue;
    const far = distance(word, wanted) - Math.min(counts.size, 99) / 200; // of two as near, the more frequent one
    if (far < least) [best, least] = [word, far];
  }
  return best;
}
function distance(one, other) { // letters left out, put in, changed, or two exchanged
  let [before, last] = [[], [...Array(other.length + 1).keys()]];
  for (let i = 1; i <= one.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= other.length; j += 1) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (one[i - 1] !== other[j - 1]));
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    [before, last] = [last, row];
  }
  return last[other.length];
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// A text with the words marked, cut where it is long to the stretch that holds most of them.
function excerpt(text, wanted, length) {
  const found = places(text, wanted);
  let [from, to] = [0, text.length];
  if (text.length > length) {
    const held = ([first]) => new Set(found.filter(([start, end]) => start >= first && end <= first + 0.75 * length).map(([, , which]) => which)).size;
    const best = found.reduce((best, here) => (held(here) > held(best) ? here : best), found[0]);
    from = Math.max(0, Math.min((best?.[0] ?? 0) - length / 4, text.length - length));
    if (from) from = text.indexOf(" ", from) + 1;
    to = from + length < text.length ? text.lastIndexOf(" ", from + length) : text.length;
    if (to <= from) [from, to] = [0, text.length];
  }
  const pieces = [from ? "… " : ""];
  for (const [start, end] of found.filter(([start, end]) => start >= from && end <= to)) {
    pieces.push(text.slice(from, start), element("mark", {}, text.slice(start, end)));
    from = end;
  }
  return [...pieces, text.slice(from, to), to < text.length ? " …" : ""];
}

function entry(place, wanted, query) {
  const anchor = place.anchor && `#${place.anchor}`;
  const address = `${searchIndex.pages[place.page]}?highlight=${encodeURIComponent(query)}${anchor}`;
  const kind = element("span", { className: "kind" }, place.label);
  const link = element("a", { href: address }, kind, " ", ...excerpt(place.title, wanted, 200));
  const line = place.code.split("\n").find((code) => places(code, wanted).length);
  const said = !places(place.text, wanted).length && line
    ? element("code", {}, ...excerpt(line, wanted, 120))
    : element("p", {}, ...excerpt(place.text, wanted, 200));
  return element("li", {}, link, said);
}

function show(query) {
  results.replaceChildren();
  status.replaceChildren();
  let wanted = terms(query);
  if (!query.trim()) return;
  if (!wanted.length) return nothing(query, []);
  let [found, said] = [find(wanted), query];
  if (!found.length) {
    const known = wanted.map((term) => (find([term]).length ? term.whole : nearest(term.whole)));
    if (known.every(Boolean)) {
      said = known.join(" ");
      wanted = terms(said);
      found = find(wanted);
    }
    if (!found.length || said === query) return nothing(query, known);
    status.append(`No place has “${query}”. `);
  }
  const pages = new Map();
  for (const place of found) pages.set(place.page, [...(pages.get(place.page) ?? []), place]);
  status.append(`${found.length} ${found.length > 1 ? "places" : "place"} on ${pages.size} ${pages.size > 1 ? "pages" : "page"} for “${said}”.`);
  for (const [page, held] of pages) {
    const title = all.find((place) => place.page === page).title;
    const list = (part) => element("ul", {}, ...part.map((place) => entry(place, wanted, said)));
    const more = held.length > SHOWN && element("details", {}, element("summary", {}, `${held.length - SHOWN} more in ${title}`), list(held.slice(SHOWN)));
    results.append(element("section", {}, element("h2", {}, title), list(held.slice(0, SHOWN)), more || ""));
  }
}

function nothing(query, known) {
  status.append(`No place has “${query}”.`);
  const tries = [...new Set(known.filter(Boolean))];
  if (!tries.length) return results.append(element("p", {}, "Try fewer or other words, or the ", element("a", { href: "genindex.html" }, "index"), "."));
  const links = tries.map((word) => element("li", {}, element("a", { href: `?q=${encodeURIComponent(word)}` }, `${word} (${find(terms(word)).length})`)));
  results.append(element("p", {}, "Try one word at a time:"), element("ul", {}, ...links));
}

async function search() {
  await ready;
  show(field.value);
  history.replaceState(null, "", field.value.trim() ? `?q=${encodeURIComponent(field.value)}` : location.pathname);
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
let pending;
field.addEventListener("input", () => {
  clearTimeout(pending);
  pending = setTimeout(search, 150);
});
field.value = new URL(location).searchParams.get("q") ?? "";
field.focus();
ready.then(() => show(field.value));
