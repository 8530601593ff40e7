// The page /chat: puts its parts together.

import { call, request } from "../api.js";
import { byId, tell } from "../dom.js";
import { asksForKey } from "../key.js";
import { Composer } from "./composer.js";
import { Conversation, bodyOf, newId } from "./conversation.js";
import { Renderer } from "./markup.js";
import { Sidebar, addressOf, namedIn } from "./sidebar.js";
import { Log } from "./turns.js";

const NEAR_PX = 80;
const agentAt = "griot.agent";

let conversation = null, log = null, isAtEnd = true, drawing = null;
const changedTurns = new Set();
const renderer = new Renderer((turn) => draw(turn));
const composer = new Composer(send);
const sidebar = new Sidebar((agent) => go(agent, newSession()));

asksForKey("This gateway serves those who have a key.");
start();

async function start() {
  byId("new").addEventListener("click", () => { sidebar.open(false); go(conversation?.agent, newSession()); composer.text.focus(); });
  byId("stop").addEventListener("click", () => { const [first] = conversation.pending; if (first) conversation.stop(first); });
  byId("latest").addEventListener("click", toEnd);
  byId("scroll").addEventListener("scroll", () => { isAtEnd = nearEnd(); byId("latest").hidden = isAtEnd; });
  for (const form of ["markdown", "json"]) byId(`export-${form}`).addEventListener("click", () => save(form));
  try {
    const agents = await sidebar.loadAgents();
    const known = sessionStorage.getItem(agentAt), named = namedIn(location.hash);
    const agent = named.agent || (agents.includes(known) ? known : agents[0] || "default");
    if (!named.id) history.replaceState(null, "", addressOf(agent, named.id || newSession()));
    addEventListener("hashchange", open);
    open();
  } catch (error) {
    link("lost", error.message);
  }
}

const newSession = () => `chat-${newId().slice(0, 16)}`;

function go(agent, id) { location.hash = addressOf(agent || "default", id); }

function open() {
  const { agent, id } = namedIn(location.hash);
  if (!agent || !id || (conversation?.agent === agent && conversation.id === id)) return;
  conversation?.close();
  byId("log").replaceChildren();
  byId("trouble").textContent = "";
  sessionStorage.setItem(agentAt, agent);
  log = new Log({ edit, again, dismiss, receipt, context, stop: (turn) => conversation.stop(turn) });
  isAtEnd = true;
  conversation = new Conversation(agent, id, { changed: draw, link, ended, withdrawn });
  sidebar.show(agent);
  list();
  draw();
  if (matchMedia("(min-width: 52rem)").matches) composer.text.focus();
}

async function list() {
  const shown = conversation;
  const title = await sidebar.list(shown.agent, shown.id).catch(() => undefined);
  if (shown !== conversation || title === undefined) return;
  byId("title").textContent = title || shown.id;
  document.title = `${title || shown.id} – Griot`;
}

// ---- What is seen

function draw(turn) {
  changedTurns.add(turn);
  drawing ??= requestAnimationFrame(() => {
    drawing = null;
    const some = Array.from(changedTurns);
    changedTurns.clear();
    const all = some.includes(undefined);
    for (const one of all ? [undefined] : some) log.draw(conversation, one);
    (all ? conversation.turns : some).forEach(want);
    const { pending, turns, leftOut, isLoaded } = conversation;
    byId("empty").hidden = !isLoaded || turns.length > 0;
    byId("export").hidden = !turns.some((one) => one.state === "done");
    byId("left-out").hidden = !leftOut;
    byId("left-out").textContent = "Older messages are in the export.";
    byId("stop").hidden = pending.length === 0;
    byId("stop").disabled = Boolean(pending[0]?.isStopping);
    if (!turns.length) { byId("title").textContent = "New chat"; document.title = "Chat – Griot"; }
    if (composer.isBusy !== conversation.isBusy) composer.fit(conversation.isBusy);
    if (isAtEnd) toEnd();
    else byId("latest").hidden = nearEnd();
  });
}

function want(turn) {
  if (turn.answer) renderer.want(turn, turn.answer);
}

function nearEnd() {
  const { scrollHeight, scrollTop, clientHeight } = byId("scroll");
  return scrollHeight - scrollTop - clientHeight < NEAR_PX;
}

function toEnd() {
  byId("scroll").scrollTop = byId("scroll").scrollHeight;
  byId("latest").hidden = true;
}

function link(state, words = "Live") {
  if (byId("link").dataset.state === state && byId("link").textContent === words) return;
  byId("link").dataset.state = state;
  byId("link").textContent = words;
}

function ended(turn) {
  tell([turn.answer && `${conversation.agent} answers: ${turn.answer}`, turn.note].filter(Boolean).join(" "));
  list();
}

function withdrawn(turn) {
  if (composer.isEmpty) composer.write(turn.question, turn.images);
  tell("Withdrawn.");
}

// ---- What is done

function send(asked) {
  isAtEnd = true;
  if (asked.edits) return branch(asked);
  conversation.send(asked);
  return undefined;
}

/** Go on from before a turn, in a conversation of its own. */
async function branch(asked) {
  const { agent } = conversation, point = conversation.branchPoint(asked.edits);
  const body = { ...bodyOf(agent, asked), background: true, previous_response_id: point };
  try {
    const response = await call("v1/responses", { method: "POST", body, headers: { "Idempotency-Key": newId() } });
    tell("A new conversation has branched off.");
    go(agent, response.griot.session_id);
  } catch (error) {
    byId("trouble").textContent = `Not sent. ${error.message}`;
    composer.write(asked.text, asked.images, asked.edits);
  }
}

function edit(turn) { composer.write(turn.question, turn.images, turn); }

function again(turn) { send({ text: turn.question, images: turn.images, onBusy: composer.busy.value }); }

function dismiss(turn) {
  conversation.drop(turn);
  composer.write(turn.question, turn.images);
}

async function receipt(turn) {
  turn.response ??= await call(`v1/responses/${encodeURIComponent(turn.id)}`).catch(() => undefined);
  const thoughts = (turn.response?.output || []).filter((one) => one.type === "reasoning").flatMap((one) => one.content.map((part) => part.text));
  if (!turn.thinking && thoughts.length) { turn.thinking = thoughts.join("\n\n"); draw(turn); }
}

/** Which earlier turns the model was shown for an answer, and which not; as their first words. */
function context(turn) {
  const before = conversation.turns.slice(0, conversation.turns.indexOf(turn)).filter((one) => one.state === "done" && one.size);
  let left = turn.facts?.history_messages ?? 0;
  const shown = [];
  for (const one of before.toReversed()) {
    left -= one.size;
    if (left < 0) break;
    shown.unshift(one);
  }
  const words = (one) => (one.question || one.answer || "").slice(0, 120);
  return { shown: shown.map(words), leftOut: before.slice(0, before.length - shown.length).map(words) };
}

async function save(form) {
  byId("export").open = false;
  const { agent, id } = conversation;
  const address = `chat/export?agent=${encodeURIComponent(agent)}&id=${encodeURIComponent(id)}&format=${form}`;
  try {
    const answer = await request(address);
    const url = URL.createObjectURL(await answer.blob()), anchor = document.createElement("a");
    anchor.href = url;
    anchor.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))?.[1] || "conversation";
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } catch (error) {
    byId("trouble").textContent = `It could not be exported. ${error.message}`;
  }
}
