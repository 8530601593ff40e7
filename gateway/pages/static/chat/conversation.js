// One conversation: what is known of it, sending, stopping, and following what is answered.
//
// What is shown is a snapshot of the session, asked for again and again (304 where nothing is new),
// and one stream: that of the turn which is answered. So any number of tabs stay in step, and none
// holds more than one connection of the few that a browser has for a site.

import { NoConnection, Refused, call, events, request } from "../api.js";
import { pause } from "../dom.js";
import { Answer, noteOf } from "./answer.js";
import { isPending, joined, place } from "./joining.js";

const POLL_MS = 1500;
const QUEUE_MS = 1000;
const RETRY_MS = 1500;

export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** `seen` tells of what is to be drawn: `changed()`, `link(state)`, `ended(turn)`, `withdrawn(turn)`. */
export class Conversation {
  constructor(agent, id, seen) {
    Object.assign(this, { agent, id, seen, turns: [], leftOut: 0, isLoaded: false });
    this.tag = null;
    this.live = null;       // {turn, abort}: the one stream
    this.closing = new AbortController();
    this.wake = () => {};
    this.isPoked = false;
    this.poll();
    this.watchQueue();
  }

  close() {
    this.closing.abort();
    this.live?.abort.abort();
    this.wake();
  }

  get isClosed() { return this.closing.signal.aborted; }
  /** Turns that are not over, the one that is answered first. */
  get pending() { return this.turns.filter((turn) => isPending(turn) && turn.id); }
  get isBusy() { return this.turns.some(isPending); }


  /** The response behind which an edited turn goes on: null for none, undefined where it cannot. */
  branchPoint(turn) {
    const before = this.turns.slice(0, this.turns.indexOf(turn)).filter((one) => one.state === "done" && !one.isLocal);
    if (!before.length) return this.leftOut ? undefined : null;
    return before.at(-1).id || undefined;
  }

  // ---- The snapshot

  async poll() {
    while (!this.isClosed) {
      this.isPoked = false;
      await this.look();
      const poked = new Promise((go) => { this.wake = go; });
      if (!this.isPoked) await Promise.race([pause(POLL_MS), poked]);
      if (document.hidden && !this.isBusy) await visible(this.closing.signal);
    }
  }

  /** Look at once. */
  poke() { this.isPoked = true; this.wake(); }

  async look() {
    const asked = performance.now();
    const address = `chat/session?agent=${encodeURIComponent(this.agent)}&id=${encodeURIComponent(this.id)}`;
    try {
      const headers = this.tag ? { "If-None-Match": this.tag } : {};
      const answer = await request(address, { headers, signal: this.closing.signal });
      if (answer.status !== 304) {
        const found = await answer.json();
        this.tag = answer.headers.get("ETag");
        if (!this.isClosed) this.accept(found, asked);
      }
      this.seen.link("live");
    } catch (error) {
      if (this.isClosed) return;
      this.seen.link("lost", error instanceof Refused ? error.message : "No connection");
    }
    this.follow();
  }

  accept(found, asked) {
    const known = new Map(this.turns.filter((turn) => turn.id).map((turn) => [turn.id, turn]));
    const turns = found.turns.map((one) => joined(known.get(one.id), one));
    const gone = new Set(found.turns.flatMap((one) => one.merged));
    for (const [at, turn] of this.turns.entries()) {
      if (turns.includes(turn) || gone.has(turn.id)) continue;
      const isOurs = !turn.id || turn.isLocal || (isPending(turn) && turn.since > asked);
      if (isOurs) place(turns, turn, this.turns[at - 1]);
      else if (isPending(turn)) this.settle(turn, turns, this.turns[at - 1]);
    }
    Object.assign(this, { turns, leftOut: found.left_out, isLoaded: true });
    this.seen.changed();
  }

  /** A turn that is neither in the history nor waiting any more: why. */
  settle(turn, turns, before) {
    if (turn.isSettling) return;
    turn.isSettling = true;
    place(turns, turn, before);
    call(`v1/responses/${encodeURIComponent(turn.id)}`).then((response) => {
      if (response.id !== turn.id || !isPending(turn)) return this.drop(turn);
      return this.over(turn, response);
    }, () => this.drop(turn));
  }

  drop(turn) {
    this.turns = this.turns.filter((one) => one !== turn);
    this.seen.changed();
  }

  // ---- The stream

  /** See to it that the turn which is answered is followed. */
  follow() {
    const first = this.pending[0];
    if (this.isClosed || this.live?.turn === first) return;
    const other = this.live?.turn;
    if (other && other.state !== "waiting" && isPending(other) && this.turns.includes(other)) return;
    this.live?.abort.abort();
    this.live = null;
    if (first) this.stream(first, () => `v1/responses/${encodeURIComponent(first.id)}?stream=true`, {});
  }

  async stream(turn, address, options) {
    const abort = new AbortController(), live = { turn, abort };
    this.live = live;
    const answer = turn.stream = new Answer();
    let path = address(), sent = options;
    while (!abort.signal.aborted && !answer.final) {
      try {
        for await (const event of events(path, { ...sent, signal: abort.signal })) {
          if (event.type === "error") throw new NoConnection();
          answer.take(event);
          this.show(turn, answer);
          if (answer.final) break;
        }
        if (!answer.final) throw new NoConnection();
      } catch (error) {
        if (abort.signal.aborted) break;
        if (error instanceof Refused && error.status < 500) {
          this.refused(turn, error);
          if (turn.id) await pause(RETRY_MS);  // else it would be asked for again at once
          break;
        }
        this.seen.link("lost", "Reconnecting…");
        await pause(RETRY_MS);
        if (answer.number >= 0) {  // from behind the last one that came
          path = `v1/responses/${encodeURIComponent(answer.id)}?stream=true&starting_after=${answer.number}`;
          sent = {};
        }
      }
    }
    if (this.live === live) this.live = null;
    if (answer.final) this.over(turn, answer.final);
    if (!this.isClosed) this.poke();
  }

  show(turn, answer) {
    if (!turn.id && answer.id) this.named(turn, answer.id);
    if (answer.hasBegun && !answer.final) turn.state = "running";
    const again = answer.attempt > 1 && !answer.final ? `Begun again, attempt ${answer.attempt}.` : "";
    Object.assign(turn, { answer: answer.text, thinking: answer.thinking, tools: answer.tools, note: again });
    this.seen.changed(turn);
  }

  over(turn, response) {
    if (response.status === "queued" || response.status === "in_progress") { turn.isSettling = false; return; }
    const wasBegun = response.griot?.attempt > 0;
    if (response.status === "cancelled" && !wasBegun) {
      this.drop(turn);
      if (turn.isStopping) this.seen.withdrawn(turn);
      return;
    }
    const text = response.output.filter((one) => one.type === "message").map((one) => one.content.map((part) => part.text).join("")).at(-1) || "";
    Object.assign(turn, { state: "done", answer: text, isStopping: false, response, ...noteOf(response, text) });
    turn.isLocal = response.status === "failed";  // it left no turn in the history
    this.seen.changed(turn);
    this.seen.ended(turn);
  }

  // ---- Sending and stopping

  /** Send a message; `asked` is {text, images, onBusy}. It is shown at once. */
  send(asked) {
    const turn = {
      id: null, state: "sending", role: "user", question: asked.text, images: asked.images, tools: [],
      answer: null, facts: {}, key: newId(), asked, note: "",
    };
    const isFirst = !this.isBusy;
    this.turns.push(turn);
    this.seen.changed();
    if (isFirst) this.stream(turn, () => "v1/responses", { method: "POST", ...this.posted(turn, true) });
    else this.post(turn);
    return turn;
  }

  posted(turn, stream) {
    const body = { ...bodyOf(this.agent, turn.asked), conversation: this.id, background: true, stream };
    return { body, headers: { "Idempotency-Key": turn.key } };
  }

  async post(turn) {
    for (;;) {
      try {
        const response = await call("v1/responses", { method: "POST", ...this.posted(turn, false) });
        this.named(turn, response.id);
        return this.poke();
      } catch (error) {
        if (this.isClosed) return;
        if (error instanceof Refused && error.status < 500) return this.refused(turn, error);
        turn.note = "Not sent yet: no connection.";
        this.seen.changed(turn);
        await pause(RETRY_MS);
      }
    }
  }

  /** The gateway has taken a message in; a look may have found it before we knew its id. */
  named(turn, id) {
    this.turns = this.turns.filter((one) => one === turn || one.id !== id);
    Object.assign(turn, { id, state: "waiting", since: performance.now(), note: "" });
    this.seen.changed();
  }

  refused(turn, error) {
    if (turn.id) { this.poke(); return; }
    Object.assign(turn, { state: "refused", note: `Not sent. ${error.message}`, isAlarm: true });
    this.seen.changed(turn);
    this.seen.ended(turn);
  }

  /** Stop an answer, or withdraw a message that waits. */
  async stop(turn) {
    turn.isStopping = true;
    this.seen.changed(turn);
    const address = `v1/responses/${encodeURIComponent(turn.id)}/cancel`;
    try {
      const response = await call(address, { method: "POST" });
      if (isPending(turn) && this.live?.turn !== turn) this.over(turn, response);
    } catch (error) {
      Object.assign(turn, { isStopping: false, note: `It could not be stopped. ${error.message}`, isAlarm: true });
      this.seen.changed(turn);
    }
    this.poke();
  }

  // ---- The queue

  async watchQueue() {
    while (!this.isClosed) {
      for (const turn of this.pending.filter((one) => one.state === "waiting").slice(0, 3)) {
        const found = await call(`v1/queue?response_id=${encodeURIComponent(turn.id)}`).catch(() => null);
        turn.standing = found?.response;
        this.seen.changed(turn);
      }
      await pause(QUEUE_MS);
    }
  }
}

/** The body of a request that sends a message. */
export function bodyOf(agent, { text, images, onBusy }) {
  const parts = images.map((url) => ({ type: "input_image", image_url: url }));
  const input = parts.length ? [{ role: "user", content: [{ type: "input_text", text }, ...parts] }] : text;
  return { model: `agent:${agent}`, input, griot: { on_busy: onBusy || "enqueue" } };
}

function visible(signal) {
  return new Promise((go) => {
    const check = () => { if (!document.hidden || signal.aborted) { document.removeEventListener("visibilitychange", check); go(); } };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check);
  });
}
