// The conversation as it is seen: one list item for each turn, changed in place.

import { button, byId, element } from "../dom.js";
import { parsed } from "./markup.js";
import { receiptWords, waitWords } from "./words.js";

/** Draws turns into the list. `acts`: what can be done: edit, again, stop, receipt, dismiss. */
export class Log {
  constructor(acts) {
    this.acts = acts;
    this.list = byId("log");
    this.views = new Map();
  }

  /** Draw all turns of a conversation; or the one that has changed. */
  draw(conversation, changed) {
    const { turns, agent } = conversation;
    if (changed && this.views.has(changed) && turns.includes(changed)) {
      this.views.get(changed).draw(conversation);
      return;
    }
    for (const [turn, view] of this.views) {
      if (!turns.includes(turn)) { view.item.remove(); this.views.delete(turn); }
    }
    turns.forEach((turn, at) => {
      if (!this.views.has(turn)) this.views.set(turn, new TurnView(turn, agent, this.acts));
      const { item } = this.views.get(turn);
      if (this.list.children[at] !== item) this.list.insertBefore(item, this.list.children[at] || null);
      this.views.get(turn).draw(conversation);
    });
  }
}

class TurnView {
  constructor(turn, agent, acts) {
    Object.assign(this, { turn, acts });
    this.text = element("div", { class: "bubble" });
    this.images = element("div", { class: "images" });
    this.asked = element("div", { class: "foot" });
    this.thinking = element("p", { class: "thoughts" });
    this.thought = element("details", { class: "fold thinking" }, element("summary", {}, "Thinking"), this.thinking);
    this.tools = element("div", { class: "tools" });
    this.answer = element("div", { class: "answer prose" });
    this.foot = element("div", { class: "foot" });
    this.receipt = element("div", { class: "receipt", hidden: true });
    this.question = element("div", { class: "question", role: "group", "aria-label": "You" }, this.images, this.text, this.asked);
    this.reply = element("div", { class: "reply", role: "group", "aria-label": agent },
      this.thought, this.tools, this.answer, this.foot, this.receipt);
    this.item = element("li", { class: "turn" }, this.question, this.reply);
    this.drawn = {};
  }

  draw(conversation) {
    const { turn } = this, { state } = turn;
    this.item.dataset.state = state;
    this.item.classList.toggle("system", turn.role === "system");
    this.question.hidden = turn.question === null;
    this.once("question", turn.question, () => { this.text.textContent = turn.question; });
    this.text.hidden = !turn.question;
    this.once("images", turn.images.join(), () => this.images.replaceChildren(...turn.images.map(picture)));
    this.drawReply();
    this.drawFeet(conversation);
    if (!this.receipt.hidden) this.drawReceipt();
  }

  drawReply() {
    const { turn } = this, isRunning = turn.state === "running";
    this.reply.hidden = !(isRunning || turn.answer !== null || turn.thinking || turn.tools.length || (turn.note && turn.state === "done"));
    this.thought.hidden = !turn.thinking;
    this.once("thinking", turn.thinking, () => { this.thinking.textContent = turn.thinking; });
    this.thought.firstChild.textContent = isRunning && !turn.answer ? "Thinking…" : "Thinking";
    const calls = turn.tools.map((one) => `${one.name} ${one.result !== null}`).join();
    this.once("tools", calls, () => this.tools.replaceChildren(...turn.tools.map(tool)));
    // In place: a call that somebody has unfolded stays so.
    turn.tools.forEach((call, at) => { this.tools.children[at].querySelector(".progress").textContent = progressOf(call); });
    const isRendered = turn.html !== undefined && (turn.rendered === turn.answer || (isRunning && turn.answer?.startsWith(turn.rendered)));
    this.once("answer", isRendered ? turn.html : `\n${turn.answer || ""}`, () => {
      this.answer.classList.toggle("plain", !isRendered);
      if (isRendered) this.answer.replaceChildren(...parsed(turn.html));
      else this.answer.textContent = turn.answer || "";
      if (isRendered && !isRunning) this.answer.querySelectorAll("pre").forEach(copyable);
    });
    this.once("finished", `${isRendered} ${isRunning}`, () => {
      if (isRendered && !isRunning) this.answer.querySelectorAll("pre").forEach(copyable);
    });
    this.answer.hidden = !turn.answer && !isRunning;
    this.answer.setAttribute("aria-busy", String(isRunning));
  }

  drawFeet(conversation) {
    const { turn, acts } = this, { state } = turn;
    const waits = state === "waiting" ? waitWords(turn.standing) || "Waits for its turn." : state === "sending" ? turn.note || "Sending…" : "";
    const isOver = state === "done", isUsers = turn.role === "user" && turn.question !== null;
    const canBranch = isOver && isUsers && conversation.branchPoint(turn) !== undefined;
    const facts = [state, waits, turn.note, turn.isAlarm, turn.isStopping, canBranch, turn.answer !== null, Boolean(turn.id)].join("|");
    this.once("feet", facts, () => {
      this.asked.replaceChildren(...[
        waits && element("span", { class: "note" }, waits),
        state === "refused" && element("span", { class: "note alarm" }, turn.note),
        state === "waiting" && turn.id && quiet("Withdraw", () => acts.stop(turn), turn.isStopping),
        state === "refused" && quiet("Back to the box", () => acts.dismiss(turn)),
        canBranch && quiet("Edit", () => acts.edit(turn)),
        isOver && isUsers && quiet("Send again", () => acts.again(turn)),
      ].filter(Boolean));
      const note = state === "waiting" || state === "sending" || state === "refused" ? "" : turn.note;
      this.foot.replaceChildren(...[
        note && element("span", { class: turn.isAlarm ? "note alarm" : "note" }, note),
        isOver && turn.answer && quiet("Copy", (event) => copy(turn.answer, event.target)),
        isOver && turn.answer !== null && turn.id && quiet("Receipt", () => this.toggleReceipt(), false, { "aria-expanded": String(!this.receipt.hidden) }),
      ].filter(Boolean));
    });
  }

  async toggleReceipt() {
    const opener = Array.from(this.foot.querySelectorAll("button")).at(-1);
    this.receipt.hidden = !this.receipt.hidden;
    opener.setAttribute("aria-expanded", String(!this.receipt.hidden));
    if (this.receipt.hidden) return;
    this.drawReceipt();
    await this.acts.receipt(this.turn);  // what the history does not have: thoughts, server, times
    this.drawReceipt();
  }

  drawReceipt() {
    const { turn } = this, words = receiptWords(turn, turn.response), { shown, leftOut } = this.acts.context(turn);
    const lines = words.flatMap(([term, said]) => [element("dt", {}, term), element("dd", {}, said)]);
    this.once("receipt", JSON.stringify([words, shown, leftOut]), () => this.receipt.replaceChildren(
      lines.length ? element("dl", {}, ...lines) : element("p", { class: "faint" }, "Nothing is kept of how this answer came about."),
      ...[listed("What the model was shown of this conversation", shown), listed("What was left out", leftOut)].filter(Boolean)));
  }

  once(name, value, act) {
    if (this.drawn[name] === value) return;
    this.drawn[name] = value;
    act();
  }
}

const quiet = (word, act, isDisabled = false, more = {}) => button(word, act, { class: "button quiet", disabled: Boolean(isDisabled), ...more });

function picture(url) {
  // Only what is in the page itself; the policy would stop any other, too.
  return url.startsWith("data:image/") ? element("img", { src: url, alt: "An image of yours", loading: "lazy" }) : element("span", {}, "An image");
}

/** How far a call that runs says that it is, such as " 40 %, reading page 3". */
function progressOf(call) {
  if (call.result !== null || !call.progress) return "";
  const { fraction, text } = call.progress;
  const said = [Number.isFinite(fraction) && `${Math.round(100 * fraction)} %`, text].filter(Boolean).join(", ");
  return said && ` ${said}`;
}

function tool(call) {
  const said = typeof call.arguments === "string" ? call.arguments : JSON.stringify(call.arguments);
  const state = call.result === null ? "runs…" : call.isError ? "failed" : "";
  return element("details", { class: "fold tool" },
    element("summary", {}, "Tool ", element("code", {}, call.name), state && ` ${state}`, element("span", { class: "progress" })),
    element("pre", { tabIndex: 0 }, said), call.result !== null && call.result !== undefined ? element("pre", { tabIndex: 0 }, call.result) : null);
}

function listed(title, texts) {
  if (!texts.length) return null;
  return element("details", { class: "fold" }, element("summary", {}, `${title} (${texts.length})`),
    element("ol", {}, ...texts.map((text) => element("li", {}, text))));
}

function copyable(block) {
  if (block.previousElementSibling?.classList.contains("code-head")) return;
  const word = button("Copy", (event) => copy(block.textContent, event.target), { class: "button quiet", "aria-label": "Copy this code" });
  block.before(element("div", { class: "code-head" }, element("span", {}, block.dataset.language || "text"), word));
}

async function copy(text, target) {
  const word = target.textContent;
  await navigator.clipboard.writeText(text).then(() => { target.textContent = "Copied"; }, () => { target.textContent = "Not allowed"; });
  setTimeout(() => { target.textContent = word; }, 1500);
}

