// From the events of a response to what is shown of it. Whoever takes the same events, from the
// first or from behind one of them, sees the same.

/** An answer on its way: `text`, `thinking`, `tools`, `attempt`, and `final` once it is over. */
export class Answer {
  constructor() {
    this.number = -1;
    this.id = null;
    this.attempt = 1;
    this.hasBegun = false;
    this.final = null;
    this.items = new Map();
  }

  take(event) {
    if (Number.isInteger(event.sequence_number)) this.number = event.sequence_number;
    const item = this.items.get(event.output_index);
    switch (event.type) {
      case "response.created":
        this.id = event.response.id;
        break;
      case "response.in_progress":
        this.hasBegun = true;
        break;
      case "response.output_item.added":
        this.attempt = Math.max(this.attempt, event.item.griot?.attempt || 1);
        this.items.set(event.output_index, { ...event.item, text: "" });
        break;
      case "response.mcp_call.in_progress":
        if (item && event.griot) item.progress = event.griot;
        break;
      case "response.output_text.delta":
      case "response.reasoning_text.delta":
        if (item) item.text += event.delta;
        break;
      case "response.output_item.done":
        // What is begun anew is no part of the answer; a call now has its result.
        if (event.item.griot?.abandoned) this.items.delete(event.output_index);
        else if (item) Object.assign(item, event.item, { text: item.text });
        if (event.item.griot?.abandoned) this.attempt = Math.max(this.attempt, event.item.griot.attempt || 1);
        break;
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
        this.final = event.response;
        break;
    }
  }

  get text() {
    const said = this.final ? this.final.output.map(textOf) : this.of("message").map((one) => one.text);
    return said.filter(Boolean).at(-1) || "";
  }

  get thinking() {
    return this.of("reasoning").map((one) => one.text).join("\n\n").trim();
  }

  get tools() {
    return this.of("mcp_call").map(toolOf);
  }

  of(type) {
    return Array.from(this.items.values()).filter((one) => one.type === type);
  }
}

function textOf(item) {
  return item.type === "message" ? item.content.map((part) => part.text).join("") : "";
}

/** A call of a tool, as it is shown. */
export function toolOf(item) {
  return { name: item.name, arguments: item.arguments, result: item.output ?? item.error, isError: Boolean(item.error), progress: item.progress };
}

/** What a response that is over says besides its text: {note, isAlarm}. */
export function noteOf(response, text) {
  if (response.status === "failed") return { note: `No answer. ${response.error?.message || ""}`.trim(), isAlarm: true };
  if (response.status === "cancelled") return { note: "Stopped.", isAlarm: false };
  if (response.status === "incomplete") return { note: "It stops here: it has as many tokens as it may have.", isAlarm: false };
  return { note: text.trim() ? "" : "The model gave no answer.", isAlarm: false };
}
