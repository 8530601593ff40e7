"""A stand-in for Ollama: a real HTTP server that speaks `/api/*`, failures too, and chats of `/v1`.

In a thread: `with OllamaStandIn() as ollama: ...` (`url`, `stats`, `calls`, `script`, `reset`).
As a process: `python -m sandbox.ollama --port 0` prints `listening on http://127.0.0.1:PORT`; the
same facts are then at `GET /standin/stats`, `GET /standin/calls`, `POST /standin/reset` and
`POST /standin/script {"model": "ok", "scenarios": ["busy-503", "busy-503"]}`.

A reply depends on the messages: `reply_to(messages)` is what a healthy model answers.

Unless it is told otherwise it behaves as Ollama 0.32 does without a setting, never more kindly: one
reply of a model at once, three models in memory, one load after the other, bodies as Go's decoder
takes them, names in any case. `num_parallel`, `max_loaded_models` and `max_queue` are what an
operator sets. What it does not do: pad a window to a multiple of 256, and lack a model whose name
is no scenario's. docs/ollama.md has the facts; tests/contract/ollama holds both to them.

The model's name chooses the scenario. A name that is no scenario's (`qwen2.5:0.5b`) is an
installed, healthy model that behaves as `ok`: Ollama writes its prompt, it can use tools, it cannot
see or think. `POST /api/copy` gives a model a second name. `NAME:cloud` is a model of the cloud: it
answers without a load, unless `no_cloud` is set.

    ok                the reply, one line per word
    instant           the same, all lines in one write
    delay             the same after 1 s (`delay:0.5s`: after half a second)
    slow-first        no byte, not even headers, for 2 s
    slow-tokens       50 tokens, one every 0.05 s, whether or not the client reads
    hang              never a byte
    stall             3 tokens, then silence
    endless           tokens for ever, one every 10 ms
    error-line        3 tokens, then an error line and a tidy end
    forgetful         the same, and every loaded model goes, as where memory runs out in mid-reply
    bad-call          500: arguments of a tool that no parser takes (`bad-call:3`: 3 tokens, then a
                      line that says so)
    no-done           3 tokens, then a tidy end without `done: true` (`no-done:0`: 200 and nothing)
    repeats           31 equal pieces, then the same: Ollama stops at the next one without a word
    cut               3 tokens, then the connection is closed without the last chunk
    reset             3 tokens, then a TCP reset
    close             the connection is closed before a response
    think             thinking first (unless `think` is false), then the reply; with a `format` in
                      two runs, of which only the second is counted
    think-native      the same in one run, on the native path
    think-nothing     can think, but writes no thought: a `format` is then lost unless `think` is
                      false
    think-always      thinks even if `think` is false
    tools             a call of the first tool, in the final record; after its result, the reply
                      (for its arguments: the user's last words, and the first number in them)
    tools-early       the same, in a record before the final one
    no-tools          a model that refuses tools
    embedder          a model that refuses to chat
    vision            a model that can see images (any other refuses them)
    no-abilities      refuses tools, on a server too old for /api/show to name abilities
    native            llama-server writes the prompt: a schema's keys come in alphabetical order,
                      `format: "json"` is not kept to, two assistants at the end are 400
    strict-roles      the same with a template that takes user and assistant by turns only: 400
    strict-roles-500  the same with 500, as of a template that llama.cpp has a parser of its own for
    window            native, num_ctx 4096; drops old messages silently if the prompt does not fit;
                      what cannot be dropped, or may not (`truncate: false`), gets 400 with counts
    rendered          the same where Ollama writes the prompt: what may be cut is cut to half of the
                      window, or refused without counts if `shift` is false
    old-window        the same in the words of 0.13, without counts
    half-window       cuts to half of the window even if it may not, as no current server does
    cold              takes 2 s to load, lost if its client leaves; again after a changed num_ctx
    serial            one reply at a time, whatever the server's num_parallel
    leaky             the same, but a client that leaves keeps its slot until the model is unloaded
    deaf              generates to the end although the client has left
    split-chars       each line in two chunks, parted within a character where it has a long one
    merged-lines      three lines per chunk
    blank-lines       a blank line after each line
    next-line         a raw U+0085 in the text
    big-last          a final record of 1 MB
    missing           404, not installed; after a pull it behaves as `ok`
    nowhere           404, and a pull fails: no registry has it
    bad-400, overflow-400, unsigned-401, disabled-403, quota-429, option-500, unreachable-502,
    busy-503, overloaded-503
                      that status with Ollama's exact text
    load-500, exit-500, ended-500, late-500, binary-500, gpu-500
                      the same: the model cannot be loaded (load: for want of memory; gpu: MLX)
    gone-500, odd-500, silent-500, compute-500, slots-500, mlx-overflow-500
                      the same: of a runner, once the model is loaded (slots: hardly ever seen)
    memory-500, runner-500, old-500
                      the same: the model cannot be loaded, in the words of 0.13

The tag may carry settings, for any scenario, joined by `-`: `slow-tokens:50x20ms-2s`.

    20                number of tokens (before the failure, if the scenario fails)
    50x0.02s, x20ms   tokens and pace, or the pace alone
    2.0s, 200ms       time before the first byte
    load2s            time to load the model
    slots2            replies at once
    rounds3           rounds of tools, one after the other, before the reply
    calls2            calls of tools at once
    ctx4096           context window in tokens, of a request that asks for none
    file4096          the same, and /api/show says so: PARAMETER num_ctx of a Modelfile
    trained8192       the longest window that it takes (otherwise 32768)
    image1024         tokens of an image (otherwise 768, as Ollama reckons)
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
