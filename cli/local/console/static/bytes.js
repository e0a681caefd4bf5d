// Bodies for a person: the bytes as they are, and JSON with line breaks but otherwise untouched.

import { el, spelt } from "./dom.js";

const DEEPEST = 200;
const MOST_COLOURED = 100_000;
const HEX_BYTES = 4096;
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]/g;
const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/gs;

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** The text, or null where the bytes are not UTF-8. */
export function asText(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Text with everything invisible spelt out; `lines` marks the ends of lines too. */
export function visible(text, lines = false) {
  const shown = text.replace(HIDDEN, spelt);
  return lines ? shown.replace(/\n/g, "\u240a\n") : shown;
}

/** JSON in tokens with line breaks and indents, or null. Numbers and escapes stay as they were sent. */
export function prettyTokens(text) {
  try {
    JSON.parse(text.replace(/^\ufeff/, ""));
  } catch {
    return null;
  }
  const tokens = [];
  let depth = 0;
  let before = "";
  for (const [token] of text.matchAll(TOKEN)) {
    const closes = token === "}" || token === "]";
    if (closes) depth -= 1;
    const opened = before === "{" || before === "[";
    if (depth > DEEPEST) return null;
    if (before === "," || (opened && !closes) || (closes && !opened)) tokens.push(["", `\n${"  ".repeat(depth)}`]);
    tokens.push([kindOf(token), token === ":" ? ": " : visible(token)]);
    if (token === "{" || token === "[") depth += 1;
    before = token;
  }
  for (let at = 0; at < tokens.length - 1; at += 1) {
    if (tokens[at][0] === "string" && tokens[at + 1][1] === ": ") tokens[at][0] = "name";
  }
  return tokens;
}

function kindOf(token) {
  if (token.startsWith('"')) return "string";
  if (/^[-\d]/.test(token)) return "number";
  return /^[a-z]/.test(token) ? "word" : "";
}

export function prettyBlock(tokens) {
  const text = tokens.map(([, part]) => part).join("");
  if (text.length > MOST_COLOURED) return el("pre", { class: "code", tabindex: "0", "aria-label": "Body, indented" }, text);
  const parts = tokens.map(([kind, part]) => (kind ? el("span", { class: `j-${kind}` }, part) : part));
  return el("pre", { class: "code", tabindex: "0", "aria-label": "Body, indented" }, parts);
}

/** Offsets, sixteen bytes a line, and what of them is ASCII. */
export function hexLines(bytes, most = HEX_BYTES) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, most); at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const ascii = part.map((byte) => (byte > 0x1f && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${ascii}`);
  }
  return lines.join("\n");
}

export const HEX_SHOWN = HEX_BYTES;
