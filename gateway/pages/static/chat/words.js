// What the page says in words.

/** What a message does to those that are answered or wait: docs of `on_busy`. */
export const ON_BUSY = [
  ["enqueue", "Wait for its turn"],
  ["merge", "Join what waits"],
  ["replace_pending", "Replace what waits"],
  ["interrupt", "Stop the answer, keep its part"],
  ["rollback", "Stop the answer, forget it"],
  ["reject", "Only if nothing runs"],
];

const about = (seconds) => (seconds ? `, about ${Math.ceil(seconds)} s` : "");

/** What a response waits for, as GET /v1/queue says it. */
export function waitWords(standing) {
  if (standing?.state !== "waiting") return "";
  if (standing.position > 0) return `Waits for its turn: ${standing.position} before it.`;
  switch (standing.reason) {
    case "slot":
      return standing.ahead > 0
        ? `Waits for the model: ${standing.ahead} before you${about(standing.wait_s)}.`
        : `Waits for the model: you are next${about(standing.wait_s)}.`;
    case "servers_away":
      return "The model's servers are away. It is answered when one is back.";
    case "paused":
      return `Paused by an operator${standing.until ? ` until ${new Date(standing.until * 1000).toLocaleTimeString()}` : ""}${standing.why ? `: ${standing.why}` : ""}. It is answered when that is over.`;
    case "retry":
      return `An attempt failed: ${standing.error}. It is tried again${about(standing.wait_s)}.`;
  }
  return "Waits for a worker.";
}

/** What the model was shown, line by line: [term, words]. */
export function receiptWords(turn, response) {
  const facts = turn.facts || {}, receipt = facts.receipt || response?.griot?.receipt;
  const griot = response?.griot || {}, timings = griot.timings || {};
  const model = facts.model || griot.model;
  const lines = [];
  if (model) lines.push(["Answered by", [model, griot.server && `at ${griot.server}`].filter(Boolean).join(" ")]);
  if (receipt) {
    const earlier = facts.history_messages;
    lines.push(["Shown", count(receipt.messages_sent, "message")
      + (earlier > 0 ? `, ${earlier} of them from earlier in this conversation` : "")
      + (receipt.summary ? ", and a summary of what is older" : "")]);
    lines.push(["Left out", receipt.messages_left_out ? `${count(receipt.messages_left_out, "older message")}` : "nothing"]);
    lines.push(["Prompt", tokens(receipt.prompt_tokens ?? receipt.estimated_prompt_tokens)
      + (receipt.window_tokens ? ` of a window of ${receipt.window_tokens.toLocaleString("en")}` : "")]);
    if (receipt.truncated) lines.push(["Forgotten", "the reply ran past the window: the older half of what was shown"]);
    if (receipt.fallback_for) lines.push(["Instead of", receipt.fallback_for]);
    if (receipt.plain) lines.push(["Made plainer", receipt.plain === "texts" ? "texts only, without images and tools" : "the message only, without the history"]);
    for (const [what, at] of Object.entries(receipt.repairs || {})) lines.push([REPAIRS[what] || what, count(at.length, "message")]);
  }
  const usage = facts.usage ? facts.usage.completion_tokens : response?.usage?.output_tokens;
  if (usage !== undefined) lines.push(["Answer", tokens(usage) + (timings.tokens_per_s ? `, ${Math.round(timings.tokens_per_s).toLocaleString("en")} each second` : "")]);
  if (timings.queue_wait_ms !== undefined) lines.push(["Waited", seconds(timings.queue_wait_ms)]);
  if (timings.first_token_ms) lines.push(["First token", `after ${seconds(timings.first_token_ms)}`]);
  if (facts.attempt > 1) lines.push(["Attempt", String(facts.attempt)]);
  return lines;
}

const REPAIRS = { merged: "Joined", moved: "Moved to the system prompt", as_text: "Shown as text", left_out: "Left out as empty" };
const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
const tokens = (number) => count(number, "token");
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
