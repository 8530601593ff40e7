// Elements without markup: whatever a person, a model or a name says is text.

/** A new element. `facts`: its properties; `data-…` and `aria-…` are attributes; `on` its listeners. */
export function element(tag, facts = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (value === undefined || value === null) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (name === "class") made.className = value;
    else if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((one) => one !== null && one !== undefined));
  return made;
}

/** A button with a word on it. */
export function button(word, act, facts = {}) {
  return element("button", { type: "button", class: "button", on: { click: act }, ...facts }, word);
}

export const byId = (id) => document.getElementById(id);

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Say something to those who hear the page. */
export function tell(words) {
  byId("news").textContent = words;
}
