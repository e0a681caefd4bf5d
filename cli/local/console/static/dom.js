// Builds elements. Text goes in as text, never as markup: the page's policy forbids the other way as well.

const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]/g;

/** Text from elsewhere, with what is invisible or turns its reading direction spelt out. */
export function printable(text) {
  return String(text).replace(UNSAFE, spelt);
}

export function spelt(char) {
  const code = char.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

/** An element. `props` are attributes; `on…` a listener; null and false leave an attribute out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Replaces an element's children and keeps the focus on the one of the same id. */
export function refill(node, ...children) {
  const focused = node.contains(document.activeElement) ? document.activeElement.id : "";
  const top = node.scrollTop;
  node.replaceChildren(...children.flat().filter(Boolean));
  node.scrollTop = top;
  if (focused) byId(focused)?.focus({ preventScroll: true });
}

let hiding = 0;

/** Says something for a few seconds. */
export function toast(text, bad = false) {
  const node = byId("toast");
  node.textContent = text;
  node.classList.toggle("bad", bad);
  node.classList.add("shown");
  clearTimeout(hiding);
  hiding = setTimeout(() => node.classList.remove("shown"), bad ? 8000 : 3500);
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast(`The browser does not let the page copy; select the ${what} and copy it by hand`, true);
  }
}

/** Calls at once, and then at most once in so many milliseconds; the last wish is always met. */
export function atMostEvery(milliseconds, call) {
  let resting = false;
  let wanted = false;
  const go = () => {
    if (resting) {
      wanted = true;
      return;
    }
    resting = true;
    call();
    setTimeout(() => {
      resting = false;
      if (wanted) {
        wanted = false;
        go();
      }
    }, milliseconds);
  };
  return go;
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
