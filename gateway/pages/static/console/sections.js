// What each part of the console shows.

import { byId, element } from "../dom.js";
import { cancel, drop, erase, mayErase, requeue, show } from "./dialogs.js";
import { Table } from "./table.js";
import { count, lasting, milliseconds, moment, size, why } from "./words.js";

const job = (id) => element("button", { type: "button", class: "id", title: id, on: { click: () => show(id) } }, id);
const session = (one) => [element("bdi", { class: "id", title: one.session_id }, one.session_id), element("span", { class: "under" }, one.agent_id)];
const chip = (word, kind = "") => element("span", { class: `chip ${kind}` }, word);
const host = (url) => url.replace(/^https?:\/\//, "");

let now_ms = 0;

/** The tables, each with its `show`. `onJobs` and `onLetters` are told where a page begins. */
export function sections(onJobs, onLetters) {
  const running = new Table(byId("running"), "Running now", {
    key: (one) => one.job_id, nothing: "No turn runs.",
    columns: [
      { title: "Session", show: session }, { title: "Job", show: (one) => job(one.job_id) },
      { title: "Model", show: (one) => [element("span", {}, one.model), element("span", { class: "under" }, host(one.server))] },
      { title: "Worker", show: (one) => one.worker }, { title: "Attempt", kind: "number", show: (one) => String(one.attempt) },
      { title: "Tokens/s", kind: "number", show: (one) => (one.tokens_per_s === null ? "–" : one.tokens_per_s.toFixed(1)) },
      { title: "Age", kind: "number", show: (one) => lasting(one.age_s) },
    ],
    acts: () => [{ word: "Cancel", act: (one) => cancel(one.job_id, true) }],
  });
  const waiting = new Table(byId("waiting"), "Waiting", {
    key: (one) => one.job_id, nothing: "Nothing waits.",
    columns: [
      { title: "Session", show: session }, { title: "Job", show: (one) => job(one.job_id) }, { title: "Why", show: reason },
      { title: "Attempts", kind: "number", show: (one) => String(one.attempts) },
      { title: "Waits", kind: "number", show: (one) => (one.since_ms === null ? "–" : lasting(Math.max(0, now_ms - one.since_ms) / 1000)) },
    ],
    acts: () => [{ word: "Cancel", act: (one) => cancel(one.job_id, false) }],
  });
  const letters = new Table(byId("letters"), "Dead letters", {
    key: (one) => one.job_id, nothing: "There are no dead letters.",
    columns: [
      { title: "Session", show: session }, { title: "Job", show: (one) => job(one.job_id) }, { title: "Reason", show: (one) => one.reason },
      { title: "Attempts", kind: "number", show: (one) => String(one.attempts) },
      { title: "Size", kind: "number", show: (one) => size(one.size_bytes) }, { title: "Died", show: (one) => moment(one.died_at_ms) },
    ],
    acts: () => [
      { word: "Send again", act: (one) => requeue(one.job_id) }, { word: "Drop", kind: "danger", act: (one) => drop(one.job_id) },
      ...(mayErase() ? [{ word: "Erase", kind: "danger", act: (one) => erase(one.agent_id, one.session_id) }] : []),
    ],
  });
  const turnJobs = waiting.pages(onJobs), turnLetters = letters.pages(onLetters);
  const rest = others();
  return {
    now(found) {
      now_ms = found.now_ms;
      tiles(found);
      running.show(found.running.data);
      waiting.show(found.waiting.data);
      turnJobs(found.waiting.next);
      rest.now(found);
    },
    slow(found) {
      letters.show(found.letters.data);
      turnLetters(found.letters.next);
      rest.slow(found);
    },
  };
}

function reason(one) {
  const more = one.why === "behind" ? `${one.before} before it` : one.until_ms ? `for ${lasting(Math.max(0, one.until_ms - now_ms) / 1000)} yet` : "";
  const kind = one.why === "server" ? "alarm" : ["slot", "backoff"].includes(one.why) ? "wait" : "";
  return [chip(why(one.why), kind), element("span", { class: "under" }, more)];
}

function others() {
  const workers = new Table(byId("workers"), "Workers", {
    key: (one) => one.worker, nothing: "No worker reports. After a pause it takes a few seconds.",
    columns: [
      { title: "Worker", show: (one) => one.worker },
      { title: "Turns", kind: "number", show: (one) => `${one.running} of ${one.limit}` },
      { title: "Loop late, p99", kind: "number", show: (one) => milliseconds(one.late.p99_ms) },
      { title: "Most", kind: "number", show: (one) => milliseconds(one.late.max_ms) },
      { title: "Calls that hang", show: (one) => Object.entries(one.hanging_tools).map(([tool, number]) => `${number} of ${tool}`).join(", ") || "none" },
    ],
  });
  const servers = new Table(byId("servers"), "Model servers", {
    key: (one) => one.url, nothing: "No model server is set.",
    columns: [
      { title: "Server", show: (one) => host(one.url) }, { title: "State", show: serverState },
      { title: "Calls", kind: "number", show: (one) => String(one.calls) },
      { title: "Models in memory", show: (one) => one.loaded.join(", ") || "–" },
    ],
  });
  const slots = new Table(byId("slots"), "Slots", {
    key: (one) => one.model, nothing: "Nothing bounds the calls of models (OLLAMA_NUM_PARALLEL).",
    columns: [
      { title: "Model", show: (one) => one.model },
      { title: "Taken", show: (one) => Object.entries(one.taken).map(([url, number]) => `${number} of ${one.slots[url]} at ${host(url)}`).join(", ") },
      { title: "Waiting", kind: "number", show: (one) => count(one.waiting) },
      { title: "Wait", kind: "number", show: (one) => (one.wait_s === null ? "–" : lasting(one.wait_s)) },
    ],
  });
  const quotas = new Table(byId("quotas"), "Quotas", {
    key: (one) => one.agent_id, nothing: "No agent has a profile.",
    columns: [
      { title: "Agent", show: (one) => one.agent_id },
      { title: "Pending", kind: "number", show: (one) => `${count(one.pending)} of ${count(one.jobs_at_once ?? one.most)}` },
      { title: "This minute", show: (one) => used(one.minute_used, one.jobs_per_minute, "jobs") },
      { title: "Today", show: (one) => used(one.day_used, one.tokens_per_day, "tokens") },
    ],
  });
  const audit = new Table(byId("audit"), "Who did what", {
    key: (one) => `${one.at} ${one.actor} ${one.deed} ${one.job_id} ${one.session}`, nothing: "Nothing was done yet.",
    columns: [
      { title: "When", show: (one) => moment(one.at) }, { title: "Who", show: (one) => one.actor }, { title: "Deed", show: (one) => one.deed },
      { title: "Agent", show: (one) => one.agent_id || "–" },
      { title: "Job", show: (one) => (one.job_id ? job(one.job_id) : "–") },
      { title: "Outcome", show: (one) => one.outcome ?? "not finished" },
    ],
  });
  return {
    now(found) {
      const away = new Map(found.outages.filter((one) => one.is_away).map((one) => [one.server, one]));
      workers.show(found.workers);
      const paused = new Map(found.pauses.filter((one) => one.is_paused).map((one) => [one.what, one]));
      servers.show(found.servers.map((one) => ({ ...one, away: away.get(one.url), paused: paused.get(`server ${one.url}`) })));
      slots.show(found.slots);
      quotas.show(found.quotas.agents.map((one) => ({ ...one, most: found.quotas.most_of_agent })));
    },
    slow(found) {
      audit.show(found.audit);
    },
  };
}

function serverState(one) {
  if (one.paused) return [chip("Paused", "wait"), element("span", { class: "under" }, one.paused.reason)];
  if (one.away) return [chip(one.away.model ? `Away for ${one.away.model}` : "Away", "alarm"), element("span", { class: "under" }, `${count(one.away.waiting)} sessions wait`)];
  if (one.open) return chip(`Breaker open in ${one.open} of ${one.seen}`, "wait");
  return one.seen ? chip("Answers", "good") : chip("Not asked yet");
}

function used(part, bound, what) {
  if (bound === null) return element("span", { class: "faint" }, "no bound");
  return [element("meter", { min: 0, max: 1, high: 0.8, value: Math.min(1, part), "aria-label": `${Math.round(part * 100)} % used` }),
    element("span", {}, `${count(Math.round(part * bound))} of ${count(bound)} ${what}`)];
}

/** The figures on top; each stays where it is. */
const SHOWN = new Map();

export function tile(name, figure, more = "", kind = "") {
  if (!SHOWN.has(name)) {
    const parts = { figure: element("p", { class: "figure" }), more: element("p", { class: "more" }) };
    parts.box = element("li", {}, element("p", { class: "name" }, name), parts.figure, parts.more);
    byId("tiles").append(parts.box);
    SHOWN.set(name, parts);
  }
  const parts = SHOWN.get(name);
  parts.box.className = `tile ${kind}`;
  parts.figure.textContent = figure;
  parts.more.textContent = more;
}

function tiles(found) {
  const total = found.running.total, limit = found.workers.reduce((sum, one) => sum + one.limit, 0);
  const speed = found.running.data.reduce((sum, one) => sum + (one.tokens_per_s ?? 0), 0);
  tile("Running", count(total), speed ? `${speed.toFixed(0)} tokens/s in all` : "");
  tile("Waiting", count(Math.max(0, found.quotas.pending - total)), `of ${count(found.quotas.most_pending)} at most`);
  tile("Workers", count(found.workers.length), limit ? `${count(limit)} turns at once` : "", found.workers.length ? "" : "alarm");
  const away = found.outages.filter((one) => one.is_away).length;
  const paused = found.pauses.filter((one) => one.is_paused).map((one) => one.what);
  tile("Paused", count(paused.length), paused.slice(0, 3).join(", "), paused.length ? "wait" : "");
  tile("Model servers", count(found.servers.length), away ? `${away} away` : "none away", away ? "alarm" : "");
}

/** The figures of what changes slowly. */
export function slowTiles(found) {
  const last = found.series.memory.at(-1);
  tile("Dead letters", found.letters.total === null ? "–" : count(found.letters.total), "", found.letters.total ? "alarm" : "");
  tile("Memory", last ? size(last.used_bytes) : "–", last ? (last.most_bytes ? `of ${size(last.most_bytes)}` : `${count(last.sessions)} sessions`) : "");
}
