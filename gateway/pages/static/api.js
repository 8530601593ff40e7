// What pages ask of the gateway. The API key is kept for this tab only (sessionStorage), and sent as
// a header, never in an address.

const KEY = "griot.key";

/** An answer that is an error: `status` and `code` as docs/http.md lists them. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error?.message || `The gateway answers ${status}.`);
    this.status = status;
    this.code = body?.error?.code || "";
  }
}

/** No answer came, or not all of it. */
export class NoConnection extends Error {
  constructor() {
    super("The gateway does not answer.");
  }
}

export function keepKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

// Asked when the gateway wants a key: gives true once there is one to try. Set by `key.js`.
let askForKey = async () => false;

export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** The response to a request below the gateway's root, such as `v1/agents`. A request that lacks the
 * right key is sent again once there is another. Throws Refused or NoConnection. */
export async function request(path, { method = "GET", body, headers = {}, signal } = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const sent = { ...headers };
    if (key !== null) sent.Authorization = `Bearer ${key}`;
    if (body !== undefined) sent["Content-Type"] = "application/json";
    const answer = await fetch(path, {
      method, headers: sent, signal, cache: "no-store", credentials: "omit", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body),
    }).catch((error) => { throw signal?.aborted ? error : new NoConnection(); });
    if (answer.ok || answer.status === 304) return answer;
    const refused = new Refused(answer.status, await answer.json().catch(() => null));
    // Another request may have asked for the key meanwhile.
    const isOther = sessionStorage.getItem(KEY) !== key;
    if (answer.status !== 401 || !(isOther || (await askForKey(key)))) throw refused;
  }
}

/** The JSON that a request is answered with. */
export async function call(path, options) {
  const answer = await request(path, options);
  return answer.json().catch(() => { throw new NoConnection(); });
}

/** The events of a stream, as they come; each is the object in its data. Throws NoConnection where
 * it breaks off: the last event that came is then not the last one that there is. */
export async function* events(path, options) {
  const answer = await request(path, options);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch((error) => {
        throw options?.signal?.aborted ? error : new NoConnection();
      });
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
        if (data.length) yield JSON.parse(data.join("\n"));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
