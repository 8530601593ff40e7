// What this tab knows of a turn, joined with what the gateway says of it.

export const isPending = (turn) => turn.state === "waiting" || turn.state === "running" || turn.state === "sending";

/** A turn as it is known here, with what a look at the conversation has found of it. */
export function joined(known, found) {
  if (known?.state === "done" && found.state !== "done") return known;  // a look that was late
  if (!known) return { ...found, note: found.state === "done" ? storedNote(found) : "" };
  const { stream } = known;
  // Until its stream has ended it knows more than the snapshot.
  const isLive = stream && !stream.final && found.state !== "done";
  const text = isLive ? known.answer : found.answer, tools = isLive ? known.tools : found.tools;
  const note = found.state === "done" ? storedNote(found) : known.note;
  const state = known.state === "running" && found.state === "waiting" ? "running" : found.state;
  return Object.assign(known, found, { state, answer: text, tools, note, isLocal: false });
}

function storedNote(turn) {
  if (turn.cancelled) return "Stopped.";
  if (turn.facts.done_reason === "length") return "It stops here: it has as many tokens as it may have.";
  return turn.answer !== null && !turn.answer.trim() ? "The model gave no answer." : "";
}

/** Put a turn that only this tab knows behind the one it stood behind. */
export function place(turns, turn, before) {
  const at = before ? turns.indexOf(before) : -1;
  if (at < 0 && before) turns.push(turn);
  else turns.splice(at + 1, 0, turn);
}
