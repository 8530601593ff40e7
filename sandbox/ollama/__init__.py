"""A stand-in for Ollama: a real HTTP server that speaks `/api/*`, failures too, and chats of `/v1`.

In a thread: `with OllamaStandIn() as ollama: ...` (`url`, `stats`, `calls`, `script`, `reset`).
As a process: `python -m sandbox.ollama --port 0` prints `listening on http://127.0.0.1:PORT`; the
same facts are then at `GET /standin/stats`, `GET /standin/calls`, `POST /standin/reset` and
`POST /standin/script {"model": "ok", "scenarios": ["busy-503", "busy-503"]}`.

A reply depends on the messages: `reply_to(messages)` is what a healthy model answers.

The model's name chooses the scenario. A name that is no scenario's (`qwen2.5:0.5b`) is an
installed, healthy model that behaves as `ok`.

    ok                the reply, one line per word
    instant           the same, all lines in one write
    delay             the same after 1 s (`delay:0.5s`: after half a second)
    slow-first        no byte, not even headers, for 2 s
    slow-tokens       50 tokens, one every 0.05 s, whether or not the client reads
    hang              never a byte
    stall             3 tokens, then silence
    endless           tokens for ever, one every 10 ms
    error-line        3 tokens, then an error line and a tidy end
    bad-call          the same, for arguments of a tool that no parser takes
    no-done           3 tokens, then a tidy end without `done: true`
    cut               3 tokens, then the connection is closed without the last chunk
    reset             3 tokens, then a TCP reset
    close             the connection is closed before a response
    think             thinking first (unless `think` is false), then the reply
    tools             a call of the first tool, in the final record; after its result, the reply
                      (for its arguments: the user's last words, and the first number in them)
    tools-early       the same, in a record before the final one
    no-tools          a model that refuses tools
    embedder          a model that refuses to chat
    vision            a model that says it can see images (any other takes them without a look)
    no-abilities      refuses tools, on a server too old for /api/show to name abilities
    window            drops old messages silently if the prompt exceeds num_ctx (or 4096); what
                      cannot be dropped, or may not (`truncate: false`), gets 400 with nested JSON
    half-window       cuts in place of that 400: prompt_eval_count is half the window and 2
    rendered          as `window`, but the 400 is that of the rendered path, without counts
    cold              takes 2 s to load, lost if its client leaves; again after a changed num_ctx
    serial            one reply at a time, first come first served
    leaky             the same, but a client that leaves keeps its slot until the model is unloaded
    deaf              generates to the end although the client has left
    split-chars       each line in two chunks, parted within a character where it has a long one
    merged-lines      three lines per chunk
    blank-lines       a blank line after each line
    next-line         a raw U+0085 in the text
    big-last          a final record of 1 MB
    missing           404, not installed; after a pull it behaves as `ok`
    nowhere           404, and a pull fails: no registry has it
    bad-400, overflow-400, unsigned-401, disabled-403, quota-429, gone-500, option-500, odd-500,
    slots-500, load-500, exit-500, late-500, gpu-500, binary-500, old-500, unreachable-502,
    busy-503, overloaded-503
                      that status with Ollama's exact text; odd: of a runner that is out of order,
                      from load on: the model cannot be loaded (load: for want of memory)

The tag may carry settings, for any scenario, joined by `-`: `slow-tokens:50x20ms-2s`.

    20                number of tokens (before the failure, if the scenario fails)
    50x0.02s, x20ms   tokens and pace, or the pace alone
    2.0s, 200ms       time before the first byte
    load2s            time to load the model
    slots2            replies at once
    rounds3           calls of tools, one after the other, before the reply
    ctx4096           context window in tokens; prompts over it as in `window`
    dense3            counts three tokens where plain text has one

Any other tag of a scenario's name is answered with 400. A server that hangs at its start is one
that is stopped with SIGSTOP: connections are accepted and nothing answers.
"""

from sandbox.ollama.call_log import RecordedCall, Stats
from sandbox.ollama.errors import NotServing, StandInError, UnknownScenario
from sandbox.ollama.replies import fingerprint, pieces, prompt_tokens, reply_to
from sandbox.ollama.server import OllamaStandIn

__all__ = [
    "NotServing",
    "OllamaStandIn",
    "RecordedCall",
    "StandInError",
    "Stats",
    "UnknownScenario",
    "fingerprint",
    "pieces",
    "prompt_tokens",
    "reply_to",
]
