// Single keys, which can be switched off (WCAG 2.1.4), and the table that tells them.

import { byId, el } from "./dom.js";

export function wireShortcuts(table) {
  const dialog = byId("shortcuts");
  const use = byId("use-shortcuts");
  try {
    use.checked = localStorage.getItem("shortcuts") !== "off";
  } catch {
    // Storage is switched off: they are on.
  }
  use.addEventListener("change", () => {
    try {
      localStorage.setItem("shortcuts", use.checked ? "on" : "off");
    } catch {
      // It then lasts as long as the page.
    }
  });
  const open = () => dialog.showModal();
  byId("help").addEventListener("click", open);
  const all = [...table, { keys: ["?"], does: "these shortcuts", act: open }];
  byId("shortcut-rows").append(...all.map(({ keys, does }) =>
    el("tr", {}, el("th", { scope: "row" }, keys.map((key) => el("kbd", {}, key))), el("td", {}, does))));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.open) return;
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape") {
      if (typing) event.target.blur();
      else all.find(({ keys }) => keys.includes("Esc")).act();
      return;
    }
    if (typing || !use.checked) return;
    const found = all.find(({ keys }) => keys.includes(event.key));
    if (!found?.act) return;
    event.preventDefault();
    found.act();
  });
}
