// One request: what became of it and why, its bytes, its message, and what can be done with it.

import { attempt, get, post } from "./api.js";
import { HEX_SHOWN, asText, fromBase64, hexLines, prettyBlock, prettyTokens, visible } from "./bytes.js";
import { byId, copy, el, plural, printable, refill, size, toast } from "./dom.js";
import { choose } from "./list.js";
import { state } from "./state.js";

const CLOUDS = { aws: "SQS", gcp: "Pub/Sub", azure: "Service Bus" };
const STEPS = {
  screen: "Screen",
  keys: "Key refresh",
  queue: "Queue",
  store: "Store",
  around: "Entry point",
  whole: "All of it: the receiver logs no steps of such a request",
};
const OUTCOMES = {
  valid: "The signature is right: the receiver knows this key now.",
  explained: "Found: the signature matches once this is undone.",
  suspected: "Not proven, but this was seen and may be the reason:",
  unexplained: "None of the ways to sign wrongly that are known explains it: another key, or other bytes.",
};
const choices = { raw: null, notation: null, open: new Set(), curl: null, explained: null };
let current = null;
let drawnFrom = "";
let asked = 0;

export const box = () => byId("detail");

/** Shows a request; asks again where it is shown already. */
export async function show(number, { focus = false } = {}) {
  const turn = ++asked;
  let value;
  try {
    value = await get(`requests/${number}`);
  } catch (error) {
    if (turn === asked && state.selected === number) {
      current = null;
      drawnFrom = "";
      box().hidden = false;
      box().replaceChildren(closeButton(), el("p", { class: "empty" }, `Request ${number}: ${error.message}`));
    }
    return;
  }
  if (turn !== asked || state.selected !== number) return; // another one was chosen meanwhile
  const from = JSON.stringify(value);
  if (current?.n !== value.n) {
    choices.curl = null;
    choices.explained = null;
    choices.raw = null;
    box().scrollTop = 0;
  }
  if (from !== drawnFrom) {
    current = value;
    drawnFrom = from;
    drawIt();
  }
  if (focus) box().focus();
}

export function close() {
  asked += 1;
  current = null;
  drawnFrom = "";
  box().hidden = true;
  document.body.classList.remove("reading");
}

export const isOpen = () => !box().hidden;

/** Whether news of this request, or of another with the same event, changes what is shown. */
export const concerns = (item) => current !== null && (item.n === current.n || (item.id && item.id === current.id));

/** Asks again for what is selected: that may already be another one than is shown. */
export const refresh = () => isOpen() && state.selected !== null && show(state.selected);

export async function replay() {
  if (!current) return;
  if (!current.whole) return void toast("Its bytes are not kept any more", true);
  const same = current.id ? "The same bytes are the same event: a consumer knows it by its id" : "";
  await attempt(() => post(`requests/${current.n}/replay`), `Sent again. ${same}`);
}

export async function copyCurl() {
  if (!current) return;
  try {
    const { curl } = await get(`requests/${current.n}/curl`);
    choices.curl = curl;
    choices.open.add("curl");
    drawIt();
    await copy(curl, "command");
  } catch (error) {
    toast(error.message, true);
  }
}

export async function explain() {
  if (!current?.whole || current.status !== 401) return;
  const { n } = current;
  toast("Trying what it may be…");
  await attempt(async () => {
    const found = await post(`requests/${n}/explain`);
    if (current?.n !== n) return;
    choices.explained = found;
    drawIt();
    byId("explained").scrollIntoView({ block: "nearest" });
  }, "Explained");
}

function explained() {
  const found = choices.explained;
  if (!found) return null;
  const reasons = [...found.because, ...found.observed];
  return el("section", { class: "block explained", id: "explained", "aria-label": "Explained" },
    el("h3", {}, "Explained"),
    el("p", {}, OUTCOMES[found.verdict] ?? found.verdict),
    el("ul", {}, reasons.map(({ found: seen, remedy }) =>
      el("li", {}, el("b", {}, printable(seen)), remedy && el("p", { class: "next" }, printable(remedy))))),
    el("p", { class: "note" }, `${plural(found.tried, "combination")} tried${found.complete ? "" : ", not all: the time ran out"}.`));
}

const closeButton = () =>
  el("button", { type: "button", class: "quiet back", id: "close-detail", "aria-keyshortcuts": "Escape", onclick: () => {
    const number = state.selected;
    close();
    if (number !== null) document.dispatchEvent(new CustomEvent("closed", { detail: number }));
  } }, "Close");

function drawIt() {
  box().hidden = false;
  const value = current;
  refill(box(), header(value), story(value), actions(value), explained(), steps(value), facts(value), bodies(value), message(value),
    headers(value), answer(value), lines(value), command());
}

function header(value) {
  const name = value.type ? printable(value.type) : `${value.method} ${printable(value.path)}`;
  return el("header", { class: "head" },
    el("span", { class: `badge ${value.kind}` }, `${value.status ? `${value.status} ` : ""}${value.verdict ?? "under way"}`),
    el("h2", {}, `#${value.n} `, name),
    closeButton());
}

function story(value) {
  if (!value.why) return el("p", { class: "story" }, value.kind === "pending" ? "It is under way…" : "It got no answer.");
  return el("div", { class: "story" },
    value.label && el("p", { class: "label" }, printable(value.label)),
    el("p", {}, value.why),
    value.next && el("p", { class: "next" }, value.next),
    value.duplicate && el("p", { class: "next" }, "The same signed bytes came before, as ",
      el("button", { type: "button", class: "link", id: "to-first", onclick: () => choose(value.duplicate, { open: true }) }, `#${value.duplicate}`),
      ". The receiver passes both on: delivery is at least once. A consumer drops the second by its id, and Service Bus does so itself."));
}

function actions(value) {
  const records = value.where?.records ?? [];
  const key = records[0]?.key;
  const address = records.find((record) => record.reason === "unlisted_address")?.address;
  return el("div", { class: "actions", role: "group", "aria-label": "Actions" },
    el("button", { type: "button", id: "replay", "aria-keyshortcuts": "r", disabled: !value.whole, onclick: replay }, "Replay"),
    el("button", { type: "button", id: "copy-curl", "aria-keyshortcuts": "c", disabled: !value.whole, onclick: copyCurl }, "Copy as curl"),
    value.status === 401 && el("button", { type: "button", id: "explain", "aria-keyshortcuts": "e", disabled: !value.whole, onclick: explain }, "Explain"),
    value.whole && value.size > 0 &&
      el("a", { class: "button", id: "download", href: `/_local/console/requests/${value.n}/body`, download: `request-${value.n}.bin` }, "Download body"),
    address && el("button", { type: "button", class: "primary", id: "accept", onclick: () => accept(address) }, `Accept ${address}`),
    key && el("button", { type: "button", id: "release", onclick: () => release(key) }, "Release to the queue"),
    key && dropButton(key, "drop"));
}

export async function accept(address) {
  await attempt(() => post("accept", { address }),
    ({ released, held }) => `${address} is accepted; ${released} of ${plural(held, "held event")} released`);
  refresh();
}

export async function release(key) {
  await attempt(() => post("release", { key }), "Released to the queue");
  refresh();
}

const sure = new Set();

/** Asks by a second press: what is dropped does not come again. The first one is kept while the page is drawn anew. */
export function dropButton(key, id) {
  const text = () => (sure.has(key) ? "Really drop? Dastra does not send it again" : "Drop");
  return el("button", { type: "button", class: "danger", id, onclick: async ({ target }) => {
    if (!sure.has(key)) {
      sure.add(key);
      target.textContent = text();
      return;
    }
    sure.delete(key);
    await attempt(() => post("drop", { key }), "Dropped");
    refresh();
  } }, text());
}

function steps(value) {
  if (!value.steps?.length) return null;
  const total = Math.max(value.ms, 0.1);
  const bar = el("div", { class: "bar", "aria-hidden": "true" });
  for (const { name, ms } of value.steps) {
    const part = el("span", { class: `step ${name}` });
    part.style.flexGrow = Math.max(ms / total, 0.004);
    bar.append(part);
  }
  return el("section", { class: "block", "aria-label": "Milliseconds per step" },
    el("h3", {}, `${value.ms} ms `, el("small", {}, "of the 10,000 that Dastra waits")),
    bar,
    el("dl", { class: "steps" }, value.steps.map(({ name, ms }) =>
      el("div", {}, el("dt", {}, el("span", { class: `key ${name}`, "aria-hidden": "true" }), STEPS[name] ?? name), el("dd", {}, `${ms} ms`)))));
}

const LISTED = new Map([[true, "on the list"], [false, "not on the list"], [undefined, "the list was not asked"], [null, "the list was not asked"]]);

/** The time of day, and the date where it is another day's. */
function clock(at) {
  const [date, time] = [at.slice(0, 10), at.slice(11, 23)];
  return new Date(at).toDateString() === new Date().toDateString() ? time : `${date} ${time}`;
}

function facts(value) {
  const where = value.where ?? {};
  const places = [
    where.copies > 0 && `on the queue${where.copies > 1 ? `, ${where.copies} times` : ""}`,
    ...(where.records ?? []).map((record) => `in the store: ${record.key}`),
    value.id && !where.copies && !where.records?.length && "nowhere any more: consumed, dropped or expired",
    value.kind !== "pending" && !value.id && "nowhere: it was not let in",
  ].filter(Boolean);
  const known = state.about?.keys ?? [];
  const rows = [
    ["came", clock(value.at)],
    ["from", `${value.source}: ${LISTED.get(value.listed)}`],
    ["key", value.key ? `${value.key}${known.length > 1 && known[0] === value.key ? " (newest)" : ""}` : "none matched"],
    ["request", `${value.method} ${printable(value.path)}${value.query ? `?${printable(value.query)}` : ""}`],
    ["size", size(value.size)],
    ["id", value.id ?? null],
    ["is now", places.join("; ")],
    ["sent by", value.origin ? `this page: ${printable(value.origin)}` : null],
  ];
  return el("dl", { class: "facts glance" }, rows.filter(([, text]) => text).map(([name, text]) =>
    el("div", { class: text.length > 25 ? "long" : null }, el("dt", {}, name),
      el("dd", { class: name === "id" ? "hex" : null }, text))));
}

function bodies(value) {
  if (value.size === 0) return el("section", { class: "block" }, el("h3", {}, "Body"), el("p", { class: "note" }, "There is none."));
  const bytes = fromBase64(value.body);
  const text = asText(bytes);
  const complete = value.shown === value.size;
  const tokens = text !== null && complete ? prettyTokens(text) : null;
  const hex = (choices.raw ?? (text === null ? "hex" : "text")) === "hex";
  const modes = ["text", "hex"].map((mode) =>
    el("button", { type: "button", class: "switch", id: `raw-${mode}`, "aria-pressed": String((mode === "hex") === hex), disabled: mode === "text" && text === null,
      onclick: () => {
        choices.raw = mode;
        drawIt();
      } }, mode === "hex" ? "Hex" : "Text"));
  const cut = !complete && el("p", { class: "note" }, `The first ${size(value.shown)} of ${size(value.size)}${value.whole ? "; the whole can be downloaded" : ", which is all that is kept"}.`);
  const hexCut = hex && bytes.length > HEX_SHOWN && el("p", { class: "note" }, `The first ${size(HEX_SHOWN)}.`);
  const label = { class: "code", tabindex: "0", "aria-label": "Body, as it came" };
  return el("section", { class: "block", "aria-label": "Body" },
    el("div", { class: "side" },
      el("div", {}, el("h3", {}, "Body"),
        tokens ? prettyBlock(tokens) : el("p", { class: "note" }, text === null ? "It is not text (UTF-8)." : complete ? "It is not JSON, or nested too deeply to show." : "Too long to be indented.")),
      el("div", {}, el("h3", {}, "Raw bytes ", el("span", { class: "modes", role: "group", "aria-label": "Show as" }, modes)),
        el("pre", label, hex ? hexLines(bytes) : visible(text, true)))),
    cut, hexCut);
}

function message(value) {
  const { attributes, notations } = value.where ?? {};
  if (!attributes) return null;
  const own = state.about.cloud;
  const picked = choices.notation ?? own;
  const order = [own, ...Object.keys(CLOUDS).filter((cloud) => cloud !== own)];
  const tabs = order.map((cloud) =>
    el("button", { type: "button", class: "switch", id: `notation-${cloud}`, "aria-pressed": String(cloud === picked),
      onclick: () => {
        choices.notation = cloud;
        drawIt();
      } }, CLOUDS[cloud]));
  const listed = picked === own ? Object.entries(attributes)
    : Object.entries(notations[picked].attributes ?? notations[picked].application_properties ?? {})
      .concat(Object.entries(notations[picked].MessageAttributes ?? {}).map(([name, { StringValue }]) => [name, StringValue]));
  return el("section", { class: "block", "aria-label": "Message on the queue" },
    el("h3", {}, "Message on the queue ", el("span", { class: "modes", role: "group", "aria-label": "Notation" }, tabs)),
    picked !== own && el("p", { class: "note" }, `As it would stand on ${CLOUDS[picked]}; this run has ${CLOUDS[own]}.`),
    el("dl", { class: "facts attributes" }, listed.map(([name, text]) => el("div", {}, el("dt", {}, printable(name)), el("dd", {}, printable(text))))),
    more("notation", `The whole message in ${CLOUDS[picked]}'s words`, () =>
      el("pre", { class: "code", tabindex: "0", "aria-label": "Message" }, visible(JSON.stringify(notations[picked], null, 2)))));
}

/** Something that is opened when it is wanted, and stays open while requests change. */
function more(name, title, make) {
  const open = choices.open.has(name);
  const node = el("details", { open }, el("summary", { id: `more-${name}` }, title));
  const fill = () => node.children.length === 1 && node.append(make());
  if (open) fill();
  node.addEventListener("toggle", () => {
    if (node.open) {
      choices.open.add(name);
      fill();
    } else choices.open.delete(name);
  });
  return node;
}

const table = (pairs) => el("dl", { class: "facts" }, pairs.map(([name, text]) =>
  el("div", {}, el("dt", {}, printable(name)), el("dd", {}, text === "" ? el("i", {}, "empty") : printable(text)))));

const headers = (value) => more("headers", `Request headers (${value.headers.length})`, () => table(value.headers));

const answer = (value) => value.answer &&
  more("answer", `Answer ${value.answer.status}`, () => el("div", {}, table(value.answer.headers),
    el("pre", { class: "code", tabindex: "0", "aria-label": "Answer's body" }, visible(value.answer.body))));

const lines = (value) => value.lines &&
  more("lines", `What the receiver logged (${value.lines.length})`, () => value.lines.length
    ? el("pre", { class: "code", tabindex: "0", "aria-label": "Log lines" }, value.lines.map((line) => visible(JSON.stringify(line))).join("\n"))
    : el("p", { class: "note" }, "Nothing: of requests without a well-formed signature one in a hundred is logged."));

const command = () => choices.curl !== null &&
  more("curl", "As a curl command, for bash and zsh", () => el("pre", { class: "code", id: "curl-text", tabindex: "0", "aria-label": "curl command" }, choices.curl));
