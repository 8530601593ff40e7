// The agents to choose, and the conversations with one of them.

import { call, hasKey, keepKey } from "../api.js";
import { byId, element } from "../dom.js";

/** `choose` is told which agent; the conversations are links, which the address follows. */
export class Sidebar {
  constructor(choose) {
    this.agents = [];
    this.side = byId("side");
    byId("agent").addEventListener("change", (event) => choose(event.target.value));
    byId("open-side").addEventListener("click", () => this.open(true));
    byId("close-side").addEventListener("click", () => this.open(false));
    byId("sessions").addEventListener("click", () => this.open(false));
    addEventListener("keydown", (event) => { if (event.key === "Escape" && this.side.classList.contains("open")) this.open(false); });
    byId("forget-key").addEventListener("click", () => { keepKey(null); location.reload(); });
  }

  /** On a narrow screen: show it over the conversation, or put it away. */
  open(is) {
    const was = this.side.classList.contains("open");
    this.side.classList.toggle("open", is);
    byId("whole").inert = is;
    byId("open-side").setAttribute("aria-expanded", String(is));
    if (is) byId("close-side").focus();
    else if (was) byId("open-side").focus();
  }

  async loadAgents() {
    this.agents = (await call("v1/agents")).data;
    byId("forget-key").hidden = !hasKey();
    return this.agents.map((one) => one.id);
  }

  show(agent) {
    const known = this.agents.map((one) => one.id), names = known.includes(agent) ? known : [...known, agent];
    byId("agent").replaceChildren(...names.map((id) => element("option", { value: id, selected: id === agent }, id)));
    const { model, tools } = this.agents.find((one) => one.id === agent) || {};
    byId("agent-model").textContent = [model, tools?.length ? `tools: ${tools.join(", ")}` : ""].filter(Boolean).join(" · ");
  }

  /** Show the conversations of an agent; gives the title of the one that is open. */
  async list(agent, open) {
    const { data } = await call(`chat/sessions?agent=${encodeURIComponent(agent)}`);
    byId("sessions").replaceChildren(...data.map(({ id, title }) => element("li", {}, element("a", {
      href: addressOf(agent, id), title: id, "aria-current": id === open ? "page" : undefined,
    }, title || id))));
    byId("no-sessions").hidden = data.length > 0;
    return data.find((one) => one.id === open)?.title;
  }
}

/** The part of the page's address that names a conversation; the gateway never sees it. */
export function addressOf(agent, id) {
  return `#${encodeURIComponent(agent)}/${encodeURIComponent(id)}`;
}

/** What an address names: {agent, id}, each perhaps empty. */
export function namedIn(hash) {
  const [agent = "", id = ""] = hash.slice(1).split("/").map((part) => { try { return decodeURIComponent(part); } catch { return ""; } });
  return { agent, id };
}
