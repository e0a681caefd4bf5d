// Counts, and the switches of what may break.

import { attempt, redrive, setFaults } from "./api.js";
import { byId, el } from "./dom.js";

const WORDS = {
  none: "works", refused: "refuses connections", reset: "resets connections", silent: "is silent", hanging: "hangs",
  dripping: "drips", 500: "answers 500", 503: "answers 503", throttled: "throttles", slow: "is slow",
  cut: "takes it, tells nobody", "cut-half": "breaks off its answer",
};

export function setUpStrip({ faults, keys }) {
  for (const select of document.querySelectorAll(".strip select")) {
    select.replaceChildren(...faults.map((fault) => el("option", { value: fault }, WORDS[fault] ?? fault)));
  }
  byId("keys").replaceChildren(...keys.map((key) => el("code", { title: "fingerprint" }, key)));
}

export const runRedrive = () =>
  attempt(redrive, ({ sent, failed, skipped }) =>
    skipped ? "Another redrive is at work" : `Redrive: ${sent} to the queue${failed ? `, ${failed} failed` : ""}`);

export function wireStrip() {
  for (const button of document.querySelectorAll(".strip .switch")) {
    button.addEventListener("click", () => {
      const { service, fault } = button.dataset;
      attempt(() => setFaults({ [service]: button.getAttribute("aria-pressed") === "true" ? "none" : fault }));
    });
  }
  for (const select of document.querySelectorAll(".strip select")) {
    select.addEventListener("change", () => attempt(() => setFaults({ [select.dataset.service]: select.value })));
  }
  byId("redrive").addEventListener("click", runRedrive);
}

export function showState({ counts, faults }) {
  for (const [name, count] of Object.entries(counts)) {
    byId(`count-${name}`).textContent = count ?? "–";
    if (name === "queue") byId("count-word").textContent = count === 1 ? "message" : "messages";
    byId(`tile-${name}`).classList.toggle("filled", name !== "queue" && count > 0);
  }
  for (const [name, fault] of Object.entries(faults)) {
    byId(`tile-${name}`).classList.toggle("broken", fault !== "none");
    for (const select of document.querySelectorAll(`select[data-service=${name}]`)) select.value = fault;
    for (const button of document.querySelectorAll(`.switch[data-service=${name}]`)) {
      button.setAttribute("aria-pressed", String(button.dataset.fault === fault));
    }
  }
  byId("store-word").textContent = WORDS[faults.store] ?? faults.store;
}
