// The buttons that make a request come: samples, genuine oddities, attacks.

import { attempt, post } from "./api.js";
import { byId, el } from "./dom.js";

const words = (name) => name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
let first = null;

export async function send(what) {
  await attempt(() => post("send", { ...what, from: byId("from").value }));
}

/** One more of the plainest sample. */
export const sendSample = () => first && send({ event: first });

export function setUpSend({ families, kinds, specials }) {
  first = families.data_subject_request?.[0] ?? Object.values(families)[0][0];
  byId("samples").replaceChildren(...Object.entries(families).map(([family, names]) =>
    el("button", { type: "button", "data-family": family, title: names[0], onclick: () => send({ event: names[0] }) }, words(family))));
  byId("type-to-send").replaceChildren(...Object.entries(families).map(([family, names]) =>
    el("optgroup", { label: words(family) }, names.map((name) => el("option", { value: name }, name)))));
  byId("specials").replaceChildren(...Object.entries(specials).map(([name, title]) =>
    el("button", { type: "button", "data-special": name, onclick: () => send({ special: name }) }, title)));
  byId("attacks").replaceChildren(...Object.entries(kinds).map(([name, title]) =>
    el("button", { type: "button", class: "attack", "data-attack": name, onclick: () => send({ attack: name }) }, title)));
}

export function wireSend() {
  byId("send-type").addEventListener("click", () => send({ event: byId("type-to-send").value }));
  byId("empty").addEventListener("click", (event) => {
    if (event.target.id === "first-sample") sendSample();
  });
  const panel = byId("send-panel");
  const wide = matchMedia("(min-width: 75rem)");
  const fit = () => (panel.open = wide.matches);
  wide.addEventListener("change", fit);
  fit();
}
