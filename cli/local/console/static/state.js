// What the page knows: the requests by number, the filter, and what is selected.

export const KINDS = ["accepted", "spooled", "quarantined", "refused", "failed"];

export const state = {
  about: null,
  items: new Map(), // number -> request or note
  filter: { kinds: new Set(), type: "", text: "" },
  selected: null,
  paused: false,
  waiting: 0, // changes that came while paused
};

/** Takes news in; numbers of requests that were not there before. */
export function take({ items, oldest }) {
  const fresh = [];
  for (const item of items) {
    if (!state.items.has(item.n)) fresh.push(item);
    state.items.set(item.n, item);
  }
  for (const [number, item] of state.items) {
    // A note's number lies between those of the requests around it.
    if (Math.floor(number) < (isNote(item) ? oldest - 1 : oldest)) state.items.delete(number);
  }
  return fresh;
}

export const isNote = (item) => item.note !== undefined;

export function matches(item) {
  const { kinds, type, text } = state.filter;
  if (isNote(item)) return kinds.size === 0 && !type && !text;
  // What is under way has no verdict yet, so no verdict hides it.
  if (kinds.size && item.kind !== "pending" && !kinds.has(item.kind)) return false;
  if (type && item.type !== type) return false;
  if (!text) return true;
  const said = [item.type, item.label, item.reason, item.source, item.id, item.key, item.path, item.method,
    item.verdict, item.origin, `#${item.n}`, item.status];
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  const joined = said.filter((part) => part !== null && part !== undefined).join("\n").toLowerCase();
  return wanted.every((word) => joined.includes(word));
}

/** What the list shows, newest first. */
export function shown() {
  return [...state.items.values()].sort((one, other) => other.n - one.n).filter(matches);
}

export const requests = () => [...state.items.values()].filter((item) => !isNote(item));

export function counts() {
  const found = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
  for (const item of requests()) if (item.kind in found) found[item.kind] += 1;
  return found;
}

export function types() {
  return [...new Set(requests().map((item) => item.type).filter(Boolean))].sort();
}
