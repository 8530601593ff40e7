// Texts as the gateway renders them. The only place where markup becomes elements: it comes from
// our own gateway, which lets through a short list of tags, and is read by a parser that runs nothing.

import { call } from "../api.js";

const LEAST_MS = 150;
const AT_ONCE = 20;

/** The elements of markup that the gateway made. */
export function parsed(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  return Array.from(parsed.body.childNodes, (node) => document.importNode(node, true));
}

/** Renders texts of turns, some at a time, the newest first; of one that still comes, as often as
 * the gateway can. `done` is told of each turn whose `html` has changed. */
export class Renderer {
  constructor(done) {
    this.done = done;
    this.wanted = new Map();
    this.isBusy = false;
  }

  /** Have a turn's answer rendered, where it is not yet. */
  want(turn, text) {
    if (turn.rendered === text) return;
    this.wanted.set(turn, text);
    if (!this.isBusy) this.run();
  }

  async run() {
    this.isBusy = true;
    while (this.wanted.size) {
      const some = Array.from(this.wanted).slice(-AT_ONCE);
      for (const [turn] of some) this.wanted.delete(turn);
      const begun = performance.now();
      try {
        const { html } = await call("chat/render", { method: "POST", body: { texts: some.map(([, text]) => text) } });
        some.forEach(([turn, text], at) => { Object.assign(turn, { rendered: text, html: html[at] }); this.done(turn); });
      } catch {
        // It stays plain text; the next look at the conversation asks again.
      }
      await new Promise((go) => setTimeout(go, Math.max(LEAST_MS, 3 * (performance.now() - begun))));
    }
    this.isBusy = false;
  }
}
