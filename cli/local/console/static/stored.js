// The two other views: what stands on the queue, and what is held in the store.

import { get } from "./api.js";
import { accept, dropButton, release } from "./detail.js";
import { byId, el, printable, refill, size } from "./dom.js";
import { choose } from "./list.js";
import { requests, state } from "./state.js";

const WHY = {
  queue_failed: "the queue did not take it",
  unlisted_address: "its address is not on the list",
  not_a_json_object: "no JSON object",
  too_old: "too old",
  address_unknown: "whether its address was accepted could not be looked up",
};

const asked = { queue: 0, store: 0 };

/** Draws a view anew, if it is the one that is shown. */
export async function drawView(name) {
  const box = byId(`view-${name}`);
  if (box.hidden) return;
  const turn = ++asked[name];
  let found;
  try {
    found = await get(name);
  } catch (error) {
    box.replaceChildren(el("p", { class: "empty" }, error.message));
    return;
  }
  if (turn !== asked[name] || box.hidden) return;
  const draw = name === "queue" ? queueItem : storeItem;
  const more = found.total > found.items.length && el("p", { class: "note" }, `The latest ${found.items.length} of ${found.total}.`);
  refill(box, found.items.length ? el("ul", { class: "cards" }, found.items.map(draw)) : nothing(name), more);
}

const nothing = (name) => el("p", { class: "empty" }, name === "queue"
  ? "The queue is empty."
  : "Nothing is held. Spooled events come here while the queue fails, quarantined ones wait for a person.");

function seen(id) {
  const found = requests().filter((item) => item.id === id).sort((one, other) => one.n - other.n)[0];
  return found && el("button", { type: "button", class: "link", id: `seen-${id.slice(0, 12)}`, onclick: () => {
    byId("tab-requests").click();
    choose(found.n, { open: true });
  } }, `request #${found.n}`);
}

const about = (item) => [
  el("b", {}, printable(item.type?.replace("eu.dastra.", "") ?? "?")), " ",
  el("code", {}, String(item.id ?? "").slice(0, 12)), ` ${size(item.size)}`,
  item.time && ` of ${printable(item.time.replace("T", " "))}`,
  item.dataref && el("span", { class: "tag" }, "claim check"),
  item.sourceipcheck && el("span", { class: "tag" }, printable(item.sourceipcheck)), " ", item.id && seen(item.id)];

const queueItem = (item) => el("li", { class: "card" }, el("p", {}, about(item)));

function storeItem(item) {
  const prefix = item.key.split("/")[0];
  const kind = prefix === "spool" ? "spooled" : "quarantined";
  const stub = item.key.split("/")[1].replace(/[^\w-]/g, "");
  return el("li", { class: "card" },
    el("p", {}, el("span", { class: `badge ${kind}` }, prefix), " ", about(item)),
    el("p", { class: "note" }, `${WHY[item.reason] ?? item.reason ?? ""}${item.address ? `; it came from ${item.address}` : ""}`),
    el("div", { class: "actions" },
      item.reason === "unlisted_address" && item.address &&
        el("button", { type: "button", class: "primary", id: `accept-${stub}`, onclick: () => accept(item.address) }, `Accept ${item.address}`),
      el("button", { type: "button", id: `release-${stub}`, onclick: () => release(item.key) }, "Release to the queue"),
      dropButton(item.key, `drop-${stub}`)));
}

export function wireViews() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const pick = (tab) => {
    for (const one of tabs) {
      const is = one === tab;
      one.setAttribute("aria-selected", String(is));
      one.tabIndex = is ? 0 : -1;
      byId(one.getAttribute("aria-controls")).hidden = !is;
    }
    drawView("queue");
    drawView("store");
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => pick(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      next.focus();
      pick(next);
    });
  }
  byId("open-store").addEventListener("click", () => pick(byId("tab-store")));
}

export function showTotals({ counts }) {
  const stored = (counts.spool ?? 0) + (counts.quarantine ?? 0);
  byId("tab-queue").textContent = `Queue${counts.queue === null ? "" : ` (${counts.queue})`}`;
  byId("tab-store").textContent = `Store${counts.spool === null ? "" : ` (${stored})`}`;
  byId("tab-requests").textContent = state.items.size ? `Requests (${requests().length})` : "Requests";
}
