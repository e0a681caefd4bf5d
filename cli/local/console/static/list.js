// The list of requests: a listbox, newest first, of which only what changed is drawn anew.

import { byId, el, plural, printable } from "./dom.js";
import { KINDS, counts, isNote, requests, shown, state, types } from "./state.js";

const rows = () => byId("rows");
const drawn = new Map(); // number -> [what was drawn, element]
let onSelect = () => {};
let pressed = false; // a mouse button or finger is down on a row
let waits = false; // something is to be drawn when it comes up

export function setUpList(select) {
  onSelect = select;
  rows().addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (row) choose(Number(row.dataset.number), { open: true });
  });
  rows().addEventListener("pointerdown", ({ button }) => {
    pressed = button === 0;
  });
  // Later than the click, which comes after these.
  for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => setTimeout(release));
  window.addEventListener("blur", release);
  rows().addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
    if (step !== undefined && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      move(step);
    } else if (event.key === "Enter" && state.selected !== null) {
      event.preventDefault();
      choose(state.selected, { open: true, focus: true });
    }
  });
  byId("chips").append(
    ...KINDS.map((kind) =>
      el("button", { type: "button", class: `chip ${kind}`, "data-kind": kind, "aria-pressed": "false",
        onclick: () => toggleKind(kind) }, kind, " ", el("b", {}, "0"))),
  );
  byId("by-type").addEventListener("change", (event) => {
    state.filter.type = event.target.value;
    draw();
  });
  byId("search").addEventListener("input", (event) => {
    state.filter.text = event.target.value;
    draw();
  });
}

export function toggleKind(kind) {
  const { kinds } = state.filter;
  if (!kinds.delete(kind)) kinds.add(kind);
  draw();
}

export function clearFilter() {
  state.filter = { kinds: new Set(), type: "", text: "" };
  byId("search").value = "";
  draw();
}

/** Moves the selection by so many rows; with none, to the first. */
export function move(step) {
  const numbers = shown().filter((item) => !isNote(item)).map((item) => item.n);
  if (!numbers.length) return;
  const at = numbers.indexOf(state.selected);
  const next = at < 0 ? 0 : Math.min(numbers.length - 1, Math.max(0, at + step));
  choose(numbers[next]);
}

export function choose(number, how = {}) {
  state.selected = number;
  mark();
  drawn.get(number)?.[1].scrollIntoView({ block: "nearest" });
  onSelect(number, how);
}

export function mark() {
  let active = null;
  for (const [number, [, node]] of drawn) {
    if (node.getAttribute("role") !== "option") continue;
    const is = number === state.selected;
    node.setAttribute("aria-selected", String(is));
    if (is) active = node.id;
  }
  if (active) rows().setAttribute("aria-activedescendant", active);
  else rows().removeAttribute("aria-activedescendant");
}

function release() {
  pressed = false;
  if (waits) draw();
}

export function draw() {
  // A row that is drawn anew while it is pressed would swallow the click.
  waits = pressed;
  if (waits) return;
  drawFilters();
  const items = state.paused ? shown().filter((item) => drawn.has(item.n)) : shown();
  const wanted = new Set(items.map((item) => item.n));
  for (const [number, [, node]] of drawn) {
    if (wanted.has(number)) continue;
    node.remove();
    drawn.delete(number);
  }
  let next = rows().firstChild;
  for (const item of items) {
    let [was, node] = drawn.get(item.n) ?? [];
    if (was !== item) {
      const made = isNote(item) ? noteRow(item) : requestRow(item);
      if (node) {
        if (next === node) next = made;
        node.replaceWith(made);
      }
      node = made;
      drawn.set(item.n, [item, node]);
    }
    if (node === next) next = next.nextSibling;
    else rows().insertBefore(node, next);
  }
  mark();
  drawEmpty(items.length);
}

function drawFilters() {
  const found = counts();
  for (const chip of byId("chips").children) {
    chip.setAttribute("aria-pressed", String(state.filter.kinds.has(chip.dataset.kind)));
    chip.querySelector("b").textContent = found[chip.dataset.kind];
  }
  const select = byId("by-type");
  const names = types();
  if (state.filter.type && !names.includes(state.filter.type)) names.push(state.filter.type);
  const present = [...select.options].slice(1).map((option) => option.value);
  if (present.join("\n") !== names.join("\n")) {
    select.replaceChildren(el("option", { value: "" }, "All types"),
      ...names.map((name) => el("option", { value: name }, printable(name))));
    select.value = state.filter.type;
  }
  select.value = state.filter.type;
  const pause = byId("pause");
  pause.setAttribute("aria-pressed", String(state.paused));
  pause.textContent = state.paused ? `Resume${state.waiting ? ` (${state.waiting} new)` : ""}` : "Pause";
}

const clock = (at) => at.slice(11, 23);

function requestRow(item) {
  const type = item.type ?? (item.method === "POST" ? "no event type" : item.method);
  const tags = [
    item.duplicate && el("span", { class: "tag" }, `same as #${item.duplicate}`),
    item.claim && el("span", { class: "tag" }, "claim check"),
    item.place === "queue" && el("span", { class: "tag good" }, "now on the queue"),
    item.place === "gone" && el("span", { class: "tag" }, "no longer stored"),
    item.origin && el("span", { class: "tag faint" }, printable(item.origin.split(":")[0])),
  ];
  const status = item.status ? `${item.status} ` : "";
  return el("li", { role: "option", id: `row-${item.n}`, class: `row ${item.kind}`, "data-number": item.n,
    "aria-selected": String(item.n === state.selected) },
    el("span", { class: "when" }, clock(item.at)),
    el("span", { class: `badge ${item.kind}` }, status + (item.verdict ?? "under way")),
    el("span", { class: "what" }, el("b", {}, printable(type)), item.label ? ` ${printable(item.label)}` : "", " ", tags),
    el("span", { class: "why" }, item.reason ? item.reason.replaceAll("_", " ") : ""),
    el("span", { class: "from" }, item.source),
    el("span", { class: "ms" }, item.ms === undefined ? "…" : `${item.ms < 10 ? item.ms.toFixed(1) : Math.round(item.ms)} ms`));
}

function noteRow(item) {
  return el("li", { role: "presentation", class: "note-row" },
    el("span", { class: "when" }, clock(item.at)), el("b", {}, item.note), " ", printable(item.text));
}

function drawEmpty(count) {
  const empty = byId("empty");
  const none = requests().length === 0;
  empty.hidden = !none && count > 0;
  rows().hidden = count === 0;
  if (empty.hidden) return;
  if (!none) {
    empty.replaceChildren(el("p", {}, `None of ${plural(requests().length, "request")} fits the filter.`),
      el("button", { type: "button", onclick: clearFilter }, "Show all"));
    return;
  }
  if (!state.about || empty.dataset.run === state.about.run) return;
  empty.dataset.run = state.about.run;
  empty.replaceChildren(...firstSteps(state.about));
}

function firstSteps({ commands, cloud }) {
  const name = { aws: "AWS", gcp: "Google Cloud", azure: "Azure" }[cloud];
  return [
    el("h2", {}, "Nothing has come yet. Send an event:"),
    el("ol", {},
      el("li", {}, "in a second terminal ", el("code", {}, commands.send)),
      el("li", {}, "or here ", el("button", { type: "button", class: "primary", id: "first-sample" }, "Send a sample"), " (key ", el("kbd", {}, "s"), ")"),
      el("li", {}, "or let Dastra's own Tester reach this machine through a tunnel of yours")),
    el("p", {}, `It goes through the real ${name} entry point. What arrives shows up here at once, with its verdict, why, and the message on the queue.`),
    el("p", {}, "Then: switch the queue to ", el("b", {}, "Hangs"), " above and send again; send ", el("b", {}, "from 127.0.0.2"), "; try an attack."),
  ];
}
