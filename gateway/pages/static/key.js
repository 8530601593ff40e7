// The dialog that asks for an API key, where the gateway wants one.

import { keepKey, onKeyNeeded } from "./api.js";
import { button, element } from "./dom.js";

const WRONG = "Nobody has this key, or it was revoked. Give another one.";

let asking = null;

/** Let requests that lack a key wait until there is one. `what`: what the page is for. */
export function asksForKey(what) {
  onKeyNeeded((tried) => {
    asking ??= ask(what, tried).finally(() => { asking = null; });
    return asking;
  });
}

function ask(what, tried) {
  const field = element("input", {
    id: "key", class: "field", type: "password", autocomplete: "off", required: true,
    spellcheck: false, "aria-describedby": "key-hint key-wrong",
  });
  const wrong = element("p", { id: "key-wrong", class: "alarm", role: "alert" });
  const form = element("form", { method: "dialog", class: "stack" },
    element("h2", { id: "key-title" }, "An API key, please"),
    element("p", { id: "key-hint", class: "faint" },
      `${what} “griot keys create” makes one. It stays in this tab until you close it.`),
    element("label", { htmlFor: "key" }, "API key"), field, wrong,
    button("Go on", null, { type: "submit", class: "button main" }));
  const dialog = element("dialog", { id: "key-dialog", "aria-labelledby": "key-title" }, form);
  document.body.append(dialog);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
  field.focus();
  if (tried !== null) wrong.textContent = WRONG;
  keepKey(null);
  return new Promise((done) => {
    form.addEventListener("submit", () => {
      keepKey(field.value.trim());
      dialog.remove();
      done(true);
    });
  });
}
