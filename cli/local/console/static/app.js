// Puts the page together.

import { attempt, get, post } from "./api.js";
import { concerns, copyCurl, explain, isOpen, refresh, replay, show } from "./detail.js";
import { atMostEvery, byId, copy, plural } from "./dom.js";
import { clearFilter, draw, move, setUpList } from "./list.js";
import { sendSample, setUpSend, wireSend } from "./send.js";
import { wireShortcuts } from "./shortcuts.js";
import { isNote, state, take } from "./state.js";
import { drawView, showTotals, wireViews } from "./stored.js";
import { listen } from "./stream.js";
import { runRedrive, setUpStrip, showState, wireStrip } from "./strip.js";

const CLOUDS = { aws: "AWS", gcp: "Google Cloud", azure: "Azure" };
const NEWS_MILLISECONDS = 2000;
const refreshSoon = atMostEvery(500, refresh);
const drawViews = atMostEvery(1000, () => {
  drawView("queue");
  drawView("store");
});
let drawing = 0;
let announcing = 0;
let unheard = 0;
let lastState = null;

async function begin() {
  const about = await get("about");
  state.about = about;
  byId("cloud").textContent = CLOUDS[about.cloud] ?? about.cloud;
  byId("cloud").title = about.title.replaceAll("\n", " ");
  byId("url").textContent = about.url;
  setUpSend(about);
  setUpStrip(about);
  if (lastState) showState(lastState);
  draw();
}

/** At the next frame, once for all that comes until then. */
function drawSoon() {
  if (drawing) return;
  drawing = requestAnimationFrame(() => {
    drawing = 0;
    draw();
    if (lastState) showTotals(lastState);
  });
}

function announce(count) {
  unheard += count;
  if (announcing) return;
  announcing = setTimeout(() => {
    byId("news").textContent = `${plural(unheard, "new request")}`;
    announcing = unheard = 0;
  }, NEWS_MILLISECONDS);
}

function setLive(up) {
  byId("live").classList.toggle("down", !up);
  byId("live-text").textContent = up ? "live" : "not connected; trying again. Is the run up? make run";
}

function wire() {
  setUpList((number, { open = false, focus = false } = {}) => {
    document.body.classList.toggle("reading", open || document.body.classList.contains("reading"));
    show(number, { focus: focus || (open && matchMedia("(max-width: 62rem)").matches) });
  });
  wireSend();
  wireStrip();
  wireViews();
  document.addEventListener("closed", ({ detail }) => {
    byId("rows").focus({ preventScroll: true });
    byId(`row-${detail}`)?.scrollIntoView({ block: "nearest" });
  });
  byId("copy-url").addEventListener("click", () => copy(state.about.url, "URL"));
  byId("clear").addEventListener("click", () => attempt(() => post("clear"), "Forgotten; queue and store are as they were"));
  byId("pause").addEventListener("click", pause);
  wireShortcuts([
    { keys: ["j", "↓"], does: "the next request", act: () => move(1) },
    { keys: ["k", "↑"], does: "the one before", act: () => move(-1) },
    { keys: ["Enter"], does: "in the list: read it" },
    { keys: ["Esc"], does: "close it; back to the list", act: leave },
    { keys: ["/"], does: "search", act: () => byId("search").focus() },
    { keys: ["s"], does: "send a sample", act: sendSample },
    { keys: ["r"], does: "replay the request", act: replay },
    { keys: ["c"], does: "copy it as curl", act: copyCurl },
    { keys: ["e"], does: "explain a wrong signature", act: explain },
    { keys: ["d"], does: "redrive the spool", act: runRedrive },
    { keys: ["p"], does: "pause or resume the list", act: pause },
    { keys: ["a"], does: "show all: no filter", act: clearFilter },
    { keys: ["1"], does: "requests", act: () => byId("tab-requests").click() },
    { keys: ["2"], does: "queue", act: () => byId("tab-queue").click() },
    { keys: ["3"], does: "store", act: () => byId("tab-store").click() },
    { keys: ["t"], does: "light, dark, or as the system has it", act: () => byId("theme").click() },
  ]);
}

function pause() {
  state.paused = !state.paused;
  state.waiting = 0;
  draw();
}

function leave() {
  if (isOpen()) byId("close-detail").click();
  else byId("rows").focus();
}

wire();
listen({
  onHello: ({ run }) => {
    state.items.clear();
    if (state.about === null || state.about.run !== run) attempt(begin);
    drawSoon();
  },
  onItems: (news) => {
    const fresh = take(news);
    const came = fresh.filter((item) => !isNote(item)).length;
    if (came) announce(came);
    if (state.paused) state.waiting += came;
    drawSoon();
    if (news.items.some(concerns)) refreshSoon();
  },
  onState: (found) => {
    const before = lastState?.counts;
    lastState = found;
    showState(found);
    showTotals(found);
    drawViews();
    // More on the queue is other events' doing; less, or a change in the store, may be this one's.
    const { queue, spool, quarantine } = found.counts;
    if (before && (queue < before.queue || spool !== before.spool || quarantine !== before.quarantine)) refreshSoon();
  },
  onUp: () => setLive(true),
  onDown: () => setLive(false),
});
