// Not a module, so that it runs before the page is drawn and nothing flashes.
"use strict";
(() => {
  const names = ["auto", "light", "dark"];
  const root = document.documentElement;
  const apply = (name) => {
    root.dataset.theme = names.includes(name) ? name : "auto";
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${root.dataset.theme}`;
  };
  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off
    }
  };
  apply(stored() ?? "auto");
  document.addEventListener("DOMContentLoaded", () => {
    apply(root.dataset.theme);
    document.getElementById("theme").addEventListener("click", () => {
      apply(names[(names.indexOf(root.dataset.theme) + 1) % names.length]);
      try {
        localStorage.setItem("theme", root.dataset.theme);
      } catch {
        // It then lasts as long as the page.
      }
    });
  });
})();
