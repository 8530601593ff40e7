"""The bytes that a turn has Redis write to its append-only file."""

from bench.aof import appending
from bench.arena import Arena
from bench.conversation import AGENT, sessions
from bench.rows import Row, Target, shown
from bench.size import Size

QUESTION = "What is left to be decided? " * 72
"""2 kB; so has the reply."""
MODEL = "slow-tokens:434x2ms"
ALLOWED_TEXTS, ALLOWED_BYTES = 4, 4096
LARGEST = 8
TO_ALLOWED = Target(1.5, 1)


def measure(arena: Arena, size: Size) -> list[Row]:
    """Turns of one session each; memory, broker and results lie on the one server."""
    turns = size.idle_pairs
    with arena.chat_worker():
        ids = sessions(arena.new_run(), turns)
        with appending(arena.valkey) as appended:
            arena.producer.burst("chat", ids, MODEL, message=QUESTION)
        texts = [_text_bytes(arena, session) for session in ids]
    text, written = sum(texts) / turns, appended.bytes_for.total() / turns
    allowed = ALLOWED_TEXTS * text + ALLOWED_BYTES
    arena.say(f"written: {written:,.0f} bytes for a text of {text:,.0f}")
    detail = ", ".join(
        f"{what} {shown(size_bytes / turns / 1024)} kB"
        for what, size_bytes in appended.bytes_for.most_common(LARGEST)
    )
    what = f"bytes to the AOF per turn of {shown(text / 1024)} kB / (4 x the text + 4 kB)"
    behind = f"{shown(written / 1024)} kB: {detail}"
    return [Row("written", what, written / allowed, "x", TO_ALLOWED, behind)]


def _text_bytes(arena: Arena, session: str) -> int:
    messages = arena.history(AGENT, session)
    return sum(len(str(message["content"]).encode()) for message in messages)
