"""The mailbox's operations alone, on loopback, from a blocking client; and the context budget."""

import time
from collections.abc import Callable
from functools import partial

from bench.arena import Arena
from bench.conversation import AGENT, HISTORY_MESSAGES, MESSAGE, stored
from bench.rows import Row, Target, median, shown
from bench.size import Size
from llm import Precedent, TokenBudget, fit
from memory import Mailbox, encode_message, index

ENVELOPE = b'{"job":{"agent_id":"bench","session_id":"s","message":"' + b"m" * 200 + b'"}}'
LEASE_MS = 30_000
GRACE_MS = 5000
TTL_S = 86_400
LONG_HISTORY = 200
BUDGET = Target(now=100, goal=100)


def measure(arena: Arena, size: Size) -> list[Row]:
    """Medians, and how many bare round trips that is."""
    taken_us: dict[str, list[float]] = {name: [] for name in ("bare", "enqueue", "take")}
    session = arena.new_run()
    arena.seed_chat([session])
    turn = _TurnCalls(arena, session)
    for number in range(size.micro_calls):
        job = f"job-{number}"
        taken_us["bare"].append(_timed_us(turn.ask_time))
        taken_us["enqueue"].append(_timed_us(partial(turn.enqueue, job)))
        taken_us["take"].append(_timed_us(partial(turn.take, job)))
    arena.forget()
    bare, enqueue, take = (median(taken_us[name]) for name in ("bare", "enqueue", "take"))
    budget = median([_timed_us(cut) for cut in _cuts() for _ in range(size.micro_calls)])
    arena.say(f"micro: bare {bare:.0f}, ENQUEUE {enqueue:.0f}, the turn {take:.0f} µs")
    beside = f"a bare round trip takes {shown(bare)} µs"
    return [
        Row("micro", "SCHEDULE + ENQUEUE, one pipeline", enqueue, "µs", None, beside),
        Row("micro", "ACQUIRE, RENEW, COMMIT: three pipelines", take, "µs", None, beside),
        Row("micro", f"the budget, {LONG_HISTORY} messages", budget, "µs", BUDGET, "no I/O"),
    ]


def _cuts() -> list[Callable[[], object]]:
    """Fitting a long history into a window that holds all of it, and into one that does not.

    Half of the text is not ASCII, which takes longest to estimate.
    """
    history = [
        message | {"content": f"{message['content']}{'é' * (number % 2)}"}
        for number, message in enumerate(stored(LONG_HISTORY))
    ]
    head = [{"role": "system", "content": "You are brief."}]
    question = [{"role": "user", "content": MESSAGE}]
    last = Precedent(LONG_HISTORY // 2, LONG_HISTORY - 1, 3000)
    budgets = (TokenBudget.of(32_768, None), TokenBudget.of(4096, None))
    return [partial(fit, head, history, question, budget, precedent=last) for budget in budgets]


class _TurnCalls:
    """The calls of a turn as producer and worker make them."""

    def __init__(self, arena: Arena, session: str) -> None:
        self._run = arena.memory
        self._keyspace = arena.keyspace
        self._session = session
        self._mailbox = Mailbox.of(arena.keyspace, AGENT, session)
        self._records = [encode_message(message, 1 << 20) for message in stored(2)]

    def ask_time(self) -> None:
        self._run.run(index.server_time_ms())

    def enqueue(self, job: str) -> None:
        self._run.run_last(*self._mailbox.enqueue(job, ENVELOPE, cap=100, grace_ms=GRACE_MS))

    def take(self, job: str) -> None:
        self._run.run_last(
            *self._mailbox.acquire(
                job,
                job,
                lease_ms=LEASE_MS,
                history_n=HISTORY_MESSAGES,
                max_attempts=5,
                ttl_s=TTL_S,
                grace_ms=GRACE_MS,
            )
        )
        self._run.run(self._mailbox.renew(job, lease_ms=LEASE_MS))
        self._run.run_last(
            *index.touch(self._keyspace, AGENT, self._session),
            *self._mailbox.commit(
                job,
                job,
                self._records,
                event=f'{{"type":"done","job":"{job}","attempt":1,"text":"reply"}}'.encode(),
                keep=1000,
                ttl_s=TTL_S,
                grace_ms=GRACE_MS,
            ),
        )


def _timed_us(act: Callable[[], object]) -> float:
    began_ns = time.perf_counter_ns()
    act()
    return (time.perf_counter_ns() - began_ns) / 1000
