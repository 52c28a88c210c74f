// Questions before something is sent again.  A sandboxed frame has no confirm(), and it would be no beauty either.

import { byId, el, fill } from "./dom.js";

// Resolves once the dialog is closed.  `act(show)` runs when the user agrees; what it shows stays until he closes it.
export function ask({ title, words, agree, act }) {
  const dialog = byId("dialog");
  const message = el("div", { class: "dialog-words" }, words);
  const cancel = el("button", { type: "button", class: "plain", on: { click: () => dialog.close() } }, "Cancel");
  const go = agree && el("button", { type: "button", class: "primary" }, agree);
  let stopped = false;
  go?.addEventListener("click", async () => {
    go.remove();
    cancel.textContent = "Stop";
    const say = (...shown) => fill(message, ...shown);
    try {
      await act(say, () => stopped);
    } catch (problem) {
      say(el("p", { class: "bad-words" }, problem.message));
    }
    cancel.textContent = "Close";
    cancel.focus();
  });
  fill(
    dialog,
    el("h2", { id: "dialog-title" }, title),
    message,
    el("div", { class: "dialog-actions" }, cancel, go),
  );
  dialog.showModal();
  (go ?? cancel).focus();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        stopped = true;
        resolve();
      },
      { once: true },
    );
  });
}
