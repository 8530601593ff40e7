// What is asked before something cannot be taken back, and all that is known of one job.

import { call } from "../api.js";
import { button, element, tell } from "../dom.js";
import { moment, size, why } from "./words.js";

let changed = () => {};
let may = new Set();

/** `onChange` is called when something was done. */
export function onDone(onChange) {
  changed = onChange;
}

/** What the key may do. */
export function allow(scopes) {
  may = new Set(scopes);
}

export const mayErase = () => may.has("erase");

/** An act of the console. */
async function act(what, body, done) {
  const answer = await call(`v1/console/${what}`, { method: "POST", body });
  tell(typeof done === "function" ? done(answer) : done);
  changed();
  return answer;
}

export const requeue = (jobId) => guarded(() =>
  act("requeue", { job_id: jobId }, (answer) => `Sent again as ${answer.requeued_as}.`));

export function drop(jobId) {
  confirm("Drop this dead letter?", [idLine("Job", jobId), "It is deleted for good; what was asked is lost."],
    "Drop it", () => act("drop", { job_id: jobId }, "The dead letter is dropped."));
}

export function cancel(jobId, isRunning) {
  const policy = element("select", { id: "policy", class: "field" },
    element("option", { value: "" }, "As the settings say"),
    element("option", { value: "keep" }, "Keep what it has said so far"),
    element("option", { value: "discard" }, "Record nothing of it"));
  const choice = isRunning ? [element("label", { htmlFor: "policy" }, "Its turn runs: what becomes of it?"), policy] : [];
  confirm("Cancel this job?", [idLine("Job", jobId), ...choice], "Cancel the job", () =>
    act("cancel", { job_id: jobId, policy: policy.value || null }, (answer) => `The cancel came to: ${answer.outcome}.`));
}

export async function erase(agentId, sessionId) {
  const named = { agent_id: agentId, session_id: sessionId };
  await guarded(async () => {
    const { kept } = await call("v1/console/erase", { method: "POST", body: { ...named, dry_run: true } });
    confirm("Erase this session?", [
      idLine("Agent", agentId), idLine("Session", sessionId),
      `${kept.messages} messages, ${kept.pending} jobs that wait or run, ${kept.letters} dead letters and their results go for good.`,
    ], "Erase it", () => act("erase", named, "The session is erased."));
  });
}

function idLine(name, id) {
  return element("p", { class: "small" }, `${name}: `, element("bdi", { class: "id", title: id }, id));
}

/** Ask; `doIt` runs where the answer is yes, and what keeps it from that is said in the dialog. */
function confirm(title, lines, yes, doIt) {
  const wrong = element("p", { class: "alarm", role: "alert" });
  const go = button(yes, async () => {
    go.disabled = true;
    try {
      await doIt();
      dialog.close();
    } catch (error) {
      wrong.textContent = error.message;
      go.disabled = false;
    }
  }, { class: "button danger" });
  const dialog = opened(title, "", ...lines.map((one) => (typeof one === "string" ? element("p", {}, one) : one)), wrong,
    element("div", { class: "acts-row" }, button("Leave it", () => dialog.close()), go));
}

function opened(title, kind, ...parts) {
  const dialog = element("dialog", { class: kind, "aria-labelledby": "dialog-title" },
    element("div", { class: "stack" }, element("h2", { id: "dialog-title" }, title), ...parts));
  for (const other of document.querySelectorAll("dialog:not(#key-dialog)")) other.remove();
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  return dialog;
}

async function guarded(work) {
  try {
    await work();
  } catch (error) {
    opened("That did not work", "", element("p", { class: "alarm", role: "alert" }, error.message),
      element("div", { class: "acts-row" }, button("Close", (event) => event.target.closest("dialog").close())));
  }
}

/** All that is known of a job, and what can be done with it. */
export const show = (jobId) => guarded(async () => {
  const found = await call(`v1/console/job?job_id=${encodeURIComponent(jobId)}`);
  const dialog = opened("A job", "wide", facts(found), said(found), happened(found));
  dialog.id = "job";
  dialog.querySelector(".stack").append(acts(found, dialog));
});

function facts(found) {
  const lines = [
    ["Job", found.job_id], ["Agent", found.agent_id], ["Session", found.session_id], ["State", why(found.state)],
    ["Behind", found.job?.before ? `${found.job.before} jobs, the first is ${found.job.ahead}` : null],
    ["Taken in", found.job?.since_ms ? moment(found.job.since_ms) : null],
    ["Attempts", found.job?.attempts ? String(found.job.attempts) : null],
    [found.state === "scheduled" ? "Due" : "Tried again", found.job?.until_ms ? moment(found.job.until_ms) : null],
    ["Reason", found.letter],
  ].filter(([, value]) => value !== null && value !== undefined);
  return element("dl", { class: "facts" }, ...lines.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function said(found) {
  if (!may.has("read_text")) return element("p", { class: "faint small" }, "What was said is shown to keys with the scope read_text only.");
  const place = element("div", { class: "stack" });
  place.append(button("Show what was said (this is recorded)", async (event) => {
    event.target.disabled = true;
    try {
      const { messages } = await act("read", { job_id: found.job_id }, "What was said is shown.");
      place.replaceChildren(...messages.flatMap((one) => [element("h3", {}, one.role), element("pre", { class: "said", tabIndex: 0 }, one.text || "(nothing)")]));
      if (!messages.length) place.replaceChildren(element("p", { class: "faint" }, "Nothing is kept of it."));
    } catch (error) {
      place.append(element("p", { class: "alarm", role: "alert" }, error.message));
    }
  }));
  return place;
}

function happened(found) {
  if (!found.events.length) return null;
  const rows = found.events.slice(0, 12).map((one) => element("tr", {}, element("td", {}, moment(one.at_ms)), element("td", {}, one.type),
    element("td", { class: "number" }, String(one.attempt)), element("td", { class: "number" }, one.chars ? size(one.chars) : "")));
  const heads = ["When", "Event", "Attempt", "Text"].map((one) => element("th", { scope: "col" }, one));
  return element("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Its last events" },
    element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows)));
}

function acts(found, dialog) {
  const row = element("div", { class: "acts-row" });
  const add = (word, doIt, kind = "") => row.append(button(word, () => { dialog.close(); doIt(); }, { class: `button ${kind}` }));
  if (mayErase()) add("Erase its session", () => erase(found.agent_id, found.session_id), "danger");
  if (found.state === "dead") {
    add("Drop", () => drop(found.job_id), "danger");
    add("Send again", () => requeue(found.job_id));
  }
  if (found.job) add("Cancel", () => cancel(found.job_id, found.state === "running"), "danger");
  row.append(button("Close", () => dialog.close(), { class: "button main" }));
  return row;
}
