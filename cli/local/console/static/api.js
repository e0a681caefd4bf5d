// Asks the run. What changes something carries a header that no other site's form can send.

import { toast } from "./dom.js";

const BASE = "/_local/console/";
const MARK = { "X-Dastra-Console": "1", "Content-Type": "application/json" };

async function ask(path, init) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", redirect: "error", ...init });
  } catch {
    throw new Error("the run does not answer: is it still up?");
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(value.error ?? `the run answered ${answer.status}`);
  return value;
}

export const get = (name) => ask(BASE + name);

export const post = (name, value = {}) =>
  ask(BASE + name, { method: "POST", headers: MARK, body: JSON.stringify(value) });

export const setFaults = (faults) =>
  ask("/_local/faults", { method: "PUT", headers: MARK, body: JSON.stringify(faults) });

export const redrive = () => ask("/_local/redrive", { method: "POST", headers: MARK });

/** Does something, and says so where it fails; true when it was done. */
export async function attempt(action, done) {
  try {
    const value = await action();
    if (done) toast(typeof done === "function" ? done(value) : done);
    return true;
  } catch (error) {
    toast(error.message, true);
    return false;
  }
}
