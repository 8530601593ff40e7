"""What `griot top` shows of a snapshot, on terminals of any size."""

from dataclasses import replace

import pytest
from rich.cells import cell_len

from memory.mailbox.looks import Why
from tasks.overview.jobs import JobShown
from tasks.overview.outages import OutageNow
from tasks.overview.pauses import PauseNow
from tasks.overview.report import LoopLateness, ServerShown, TurnShown, WorkerReport
from tasks.overview.slots import ModelSlots
from worker.cli.top.screen import Seen, drawn
from worker.cli.top.snapshot import Snapshot
from worker.cli.top.tables import NAMES, grid_of
from worker.cli.top.view import TopView

HOSTILE = "a\x1b[2J\nb\t\u202ec\x00[red]中😀" + "x" * 300
URL = "http://gpu-1:11434"


def turn(session: str, *, age_s: float, tokens_per_s: float | None = None) -> TurnShown:
    """A turn that runs."""
    return TurnShown(
        agent_id="energy",
        session_id=session,
        job_id=f"job-of-{session}",
        attempt=1,
        model="m",
        server=URL,
        age_s=age_s,
        tokens=10,
        tokens_per_s=tokens_per_s,
    )


def worker(name: str, *turns: TurnShown, breaker: str = "closed") -> WorkerReport:
    """A worker's report."""
    server = ServerShown.model_validate(
        {"url": URL, "breaker": breaker, "calls": len(turns), "loaded": (f"{name}'s",)}
    )
    return WorkerReport(
        worker=name,
        limit=10,
        running=len(turns),
        late=LoopLateness(max_ms=12.5),
        hanging_tools={"weather": 2},
        turns=turns,
        servers=(server,),
    )


def waiting(session: str, *, since_ms: int | None, why: Why = Why.SLOT) -> JobShown:
    """A job that waits."""
    return JobShown("j", "energy", session, why, 0, None, 0, since_ms, None)


def snapshot(*workers: WorkerReport, jobs: tuple[JobShown, ...] = ()) -> Snapshot:
    """What somebody sees."""
    return Snapshot(
        now_ms=100_000,
        workers=workers,
        waiting=jobs,
        has_more=True,
        slots=(ModelSlots("m", {URL: 4}, {URL: 3}, 7, 2.5),),
        outages=(OutageNow("http://gpu-2:11434", "", True, 50_000, 3),),
    )


FULL = snapshot(
    worker("w1", turn("ama", age_s=3, tokens_per_s=20), turn(HOSTILE, age_s=500)),
    worker("w2", turn("kofi", age_s=60, tokens_per_s=5), breaker="open"),
    jobs=(
        waiting("old", since_ms=10_000),
        waiting("new", since_ms=99_000),
        waiting("later", since_ms=None, why=Why.SCHEDULED),
    ),
)


def lines(view: TopView, *, width: int = 120, height: int = 30, trouble: str | None = None) -> str:
    """The screen as text."""
    return drawn(Seen(FULL, 34, trouble), view, width=width, height=height).plain


def pressed(*keys: str, table: str = "turns") -> TopView:
    """What is seen after some keys."""
    view = TopView(table=table)
    for key in keys:
        view.press(key, grid_of(FULL, view.table))
    return view


def sessions(view: TopView) -> list[object]:
    """The sessions in the order of the rows."""
    return [row[1] for row in view.rows(grid_of(FULL, view.table))]


@pytest.mark.parametrize("table", NAMES)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (10, 3), (39, 8), (80, 24), (400, 100)])
def test_a_screen_is_as_large_as_its_terminal(table: str, width: int, height: int) -> None:
    """No line is wider, none is missing; nothing of an id steers the terminal or is markup."""
    shown = lines(TopView(table=table), width=width, height=height, trouble=f"away {HOSTILE}")
    rows = shown.split("\n")
    assert len(rows) == height
    assert all(cell_len(row) <= width for row in rows)
    assert all(row.isprintable() for row in rows)


def test_a_small_terminal_shows_the_table_first() -> None:
    """What stands around it goes, trouble excepted; the dearest columns stay."""
    shown = lines(TopView(), width=30, height=4, trouble="Redis is away")
    assert shown.startswith("it goes on trying")
    assert "AGE" in shown
    assert "quit" not in shown


def test_the_longest_comes_first_until_somebody_asks_for_another_order() -> None:
    """Left and right choose the column, r turns it round; names begin with a."""
    assert sessions(pressed()) == [HOSTILE, "kofi", "ama"]
    assert sessions(pressed("r")) == ["ama", "kofi", HOSTILE]
    assert sessions(pressed("right", "right")) == ["ama", "kofi", HOSTILE], "unknown speed last"
    assert sessions(pressed(*["left"] * 5)) == [HOSTILE, "ama", "kofi"]
    assert sessions(pressed(table="waiting")) == ["old", "new", "later"]


def test_a_filter_keeps_rows_with_a_text() -> None:
    """Case aside, while it is typed, when keys are letters; Enter keeps it, Esc drops it."""
    typed = ("/", "K", "o", "q", "c-h", "<bracketed-paste>")
    assert sessions(pressed(*typed)) == ["kofi"]
    assert not pressed(*typed).is_over
    assert pressed(*typed, "c-m", "q").is_over
    assert len(sessions(pressed(*typed, "escape"))) == 3
    assert len(sessions(pressed(*typed, "c-m", "escape"))) == 3
    assert "nothing matches" in lines(pressed("/", "Z", "Z"))


def test_keys_choose_the_table() -> None:
    """Tab and its number, round and round; another key changes nothing."""
    assert pressed("c-i").table == "waiting"
    assert pressed("s-tab").table == "servers"
    assert pressed("5", "c-i").table == "turns"
    assert pressed("x", "f1", "9") == TopView()


def test_scrolling_ends_at_the_last_row() -> None:
    """However often it was asked for, one key goes back."""
    view = pressed(*["down"] * 9)
    assert "[red]" not in lines(view, height=8)
    view.press("up", None)
    view.press("pageup", None)
    assert view.scroll == 0


def test_ctrl_c_interrupts() -> None:
    """While a filter is typed, too."""
    with pytest.raises(KeyboardInterrupt):
        pressed("/", "c-c")


def test_trouble_is_said_with_the_age_of_what_is_shown() -> None:
    """A server that is away is said where Redis is not."""
    assert "what is shown is 34 s old: Redis is away" in lines(TopView(), trouble="Redis is away")
    assert "http://gpu-2:11434 is away" in lines(TopView())
    assert "looking" in drawn(Seen(None, 0, None), TopView(), width=80, height=24).plain
    assert "paused, 34 s old" in lines(pressed("p"))


def test_what_is_paused_is_said() -> None:
    """Above the tables; and of a server in its row."""
    pauses = tuple(
        PauseNow(what, True, 50_000, None, "wrong prices", 2)
        for what in ("agent energy", "server http://gpu-2:11434")
    )
    now = replace(FULL, pauses=pauses)
    shown = drawn(Seen(now, 34, None), TopView(), width=140, height=30).plain
    assert "agent energy is paused since" in shown
    assert "(wrong prices); 2 sessions wait; 1 more" in shown
    assert grid_of(now, "servers").rows[1][:2] == ("http://gpu-2:11434", "paused")


def test_servers_are_seen_as_all_workers_together_see_them() -> None:
    """The worst breaker, all calls, all that is loaded; those that only an outage names, too."""
    one, away = grid_of(FULL, "servers").rows
    assert list(one) == [URL, "breaker open", 3, 25, 12.5, 0, "w1's, w2's"]
    assert list(away) == ["http://gpu-2:11434", "away", 0, 0, None, 3, ""]


def test_an_empty_table_says_what_that_means() -> None:
    """Without reports nobody knows what runs."""
    nothing = Snapshot(0, (), (), False, (), ())
    for name, said in (("turns", "no worker reports"), ("waiting", "no job waits")):
        screen = drawn(Seen(nothing, 0, None), TopView(table=name), width=80, height=24)
        assert said in screen.plain
