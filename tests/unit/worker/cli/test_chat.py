"""What `griot chat` makes of events, of text that comes in pieces, and of what is typed."""

from dataclasses import replace
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from agents import AgentSettings, Profiles
from memory import Event, EventType, InvalidInput, MemoryUnavailable
from tasks import InvalidJob, NotAccepted
from worker.cli.chat.conversation import Conversation
from worker.cli.chat.image_file import read_image
from worker.cli.chat.pipe import Pipe, PlainReply
from worker.cli.chat.replay import Said, said_before
from worker.cli.chat.reply import ShownReply
from worker.cli.chat.sentences import not_confirmed, why_waiting
from worker.cli.chat.slash import SlashCommand, SlashCompleter, parsed
from worker.cli.chat.wrapping import Wrapping, lines_of
from worker.cli.known_agents import unknown


class Seen:
    """A view that notes what is shown: text as it is, remarks in brackets, what is awaited."""

    def __init__(self) -> None:
        self.shown = ""
        self.awaited: list[str] = []

    def text(self, text: str) -> None:
        """A piece of the reply."""
        self.shown += text

    def end_line(self) -> None:
        """The end of a line."""
        self.shown += "\n"

    def remark(self, text: str) -> None:
        """A remark."""
        self.shown += f"[{text}]\n"

    def waits(self, why: str) -> None:
        """Why nothing happens."""
        self.awaited.append(why)

    def status(self, text: str) -> None:
        """What is done."""
        self.awaited.append(text)


def event(kind: str, text: str = "", attempt: int = 1, **data: object) -> Event:
    """An event of one job."""
    return Event(EventType(kind), "job", attempt, text, data)  # type: ignore[arg-type]


def seen(*events: Event) -> Seen:
    """What is seen of a reply."""
    view = Seen()
    reply = ShownReply(view, max_wait_s=3600)
    for one in events:
        reply.take(one)
    return view


AWAY = event("waiting", reason="servers_away", servers=["http://ollama:11434"], since=1_700_000_000)
PAUSED = event(
    "waiting", reason="paused", paused="model llama3", why="new disk", until=1_700_000_000
)
RETRY = event("waiting", reason="retry", error="the model failed", wait_s=2.0, max_attempts=5)


def test_a_reply_whose_tokens_were_lost_is_completed() -> None:
    """The last event has the whole text: what is missing at the end is added."""
    told = seen(event("started"), event("token", "Hel"), event("done", "Hello"))
    assert told.shown == "Hello\n"


@pytest.mark.parametrize(
    ("empty", "said"), [("blank", "no answer"), ("thinking", "only thought"), (None, "")]
)
def test_a_reply_that_says_nothing_is_told_so(empty: str | None, said: str) -> None:
    """An empty line could as well be a fault of the terminal."""
    told = seen(event("done", empty=empty))
    assert said in told.shown
    assert ("[" in told.shown) == bool(said)


@pytest.mark.parametrize(
    ("between", "second", "told"),
    [
        ((), 2, "[(its worker was lost; another one begins the reply again, attempt 2)]"),
        ((), 1, "[(its worker was stopped; another one begins the reply again, attempt 1)]"),
        (
            (AWAY,),
            1,
            "[(the model server http://ollama:11434 is away since 2023-11-14T22:13:20Z; the "
            "message waits until it is back, at most 60 min)]\n"
            "[(the model server is back; the reply begins again)]",
        ),
        (
            (PAUSED,),
            1,
            "[(model llama3 is paused until 2023-11-14T22:13:20Z (new disk); the message waits)]\n"
            "[(what was paused goes on; the reply begins again)]",
        ),
        (
            (RETRY,),
            2,
            "[(attempt 1 of 5 failed: the model failed; the next one begins in 2 s)]\n"
            "[(attempt 2 of 5; the reply begins again)]",
        ),
    ],
)
def test_a_reply_that_begins_again_says_what_was_lost(
    between: tuple[Event, ...], second: int, told: str
) -> None:
    """The worker, the model server, or the attempt; what was said before does not count."""
    first = (event("started"), event("token", "Good"))
    then = (event("token", "Bye", second), event("done", "Bye", second))
    assert seen(*first, *between, event("started", attempt=second), *then).shown == (
        f"Good\n{told}\nBye\n"
    )


def test_an_attempt_that_failed_before_a_word_is_counted() -> None:
    """It was waited for, so the reader is told which attempt answers."""
    told = seen(event("started"), RETRY, event("started", attempt=2), event("done", "Hi", 2))
    assert told.shown == "[(attempt 2 of 5; the reply begins again)]\nHi\n"
    assert "attempt 1 of 5 failed: the model failed; the next one begins in 2 s" in told.awaited


def test_a_call_of_a_tool_begins_the_reply_anew() -> None:
    """Its name is a remark; what was said before it stands on a line of its own."""
    called = event("tool_call", name="look_up", arguments={})
    ended = event("tool_call", name="look_up", result="42")
    before = (event("started"), event("token", "Let me see."), called, ended)
    told = seen(*before, event("started"), event("token", "It is"), event("done", "It is 42."))
    assert told.shown == "Let me see.\n[[look_up]]\nIt is 42.\n"
    assert "the tool look_up runs" in told.awaited


def test_how_far_a_tool_is_is_said_where_it_can_be_taken_back() -> None:
    """What it does not say is left out."""
    called = event("tool_call", name="look_up", arguments={})
    progress = [
        replace(
            event("tool_progress"), data={"name": "look_up", "fraction": fraction, "text": text}
        )
        for fraction, text in ((0.4, "reading page 3"), (0.5, ""), (None, "at it"), (None, ""))
    ]
    told = seen(event("started"), called, *progress)
    assert told.shown == "[[look_up]]\n"
    assert told.awaited[-4:] == [
        "the tool look_up runs: 40%, reading page 3",
        "the tool look_up runs: 50%",
        "the tool look_up runs: at it",
        "the tool look_up runs",
    ]


def test_a_dead_letter_is_said_with_its_way_back() -> None:
    """The command has the job's id, and can be typed in a checkout."""
    told = seen(event("started"), event("failed", error="no such model"))
    assert told.shown == (
        "[griot: no such model\n"
        "It is a dead letter. Send it again with: .venv/bin/griot dead-letters requeue job]\n"
    )


def test_what_has_expired_is_not_to_be_sent_again() -> None:
    """There is no dead letter of it."""
    view = seen(event("failed", error="it came too late", code="expired"))
    assert view.shown == "[griot: it came too late]\n"


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (event("queued", position=2), "2 before this one"),
        (event("queued", position=0), ""),
        (
            event("waiting", reason="slot", ahead=0, wait_s=9.8),
            "the model is busy: you are next, about 10 s",
        ),
        (
            event("waiting", reason="slot", ahead=3, wait_s=150),
            "the model is busy: 3 before you, about 2 min",
        ),
        (event("waiting", reason="slot", ahead=0), "the model is busy: you are next"),
    ],
)
def test_what_a_message_waits_for_is_said(waiting: Event, said: str) -> None:
    """Its place, and for about how long where that is known."""
    assert why_waiting(waiting, max_wait_s=60) == said


def test_a_piped_reply_has_its_remarks_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output has the reply alone, and no character that steers a terminal."""
    reply = PlainReply(max_wait_s=60)
    for one in (event("queued", position=1), event("started"), event("done", "a\x1b[31mb")):
        reply.take(one)
    out, err = capsys.readouterr()
    assert (out, err) == ("a[31mb\n", "(1 before this one)\n")


def test_text_in_pieces_is_cut_between_words() -> None:
    """No line is wider than the screen, no word is lost; what is too long for a line is cut."""
    wrapping = Wrapping()
    lines: list[str] = []
    for piece in ("one tw", "o three ", "four\n\nfi", "ve ", "x" * 25):
        lines += wrapping.add(piece, 10)
    assert [*lines, wrapping.end()] == [
        "one two", "three four", "", "five", "x" * 10, "x" * 10, "x" * 5,
    ]  # fmt: skip


def test_wide_characters_take_two_cells() -> None:
    """As terminals show them."""
    assert lines_of("語" * 12, 20) == ["語" * 10, "語" * 2]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/new", SlashCommand("new", "")),
        ("/image ~/a b.png ", SlashCommand("image", "~/a b.png")),
        ("/system one\ntwo", SlashCommand("system", "one\ntwo")),
        ("//new", "/new"),
        ("/etc/hosts is a file", "/etc/hosts is a file"),
        ("and /new", "and /new"),
    ],
)
def test_a_slash_begins_a_command(typed: str, meant: SlashCommand | str) -> None:
    """Two slashes begin a message, and a path is one."""
    assert parsed(typed) == meant


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("/age", ["agent"]), ("/agent e", ["energy"]), ("/tools a b", ["beta"]), ("hello", [])],
)
def test_commands_and_agents_are_completed(typed: str, offered: list[str]) -> None:
    """Also the last of several names; a message is left alone."""
    completer = SlashCompleter(
        {"agent": lambda: ["energy", "water"], "tools": lambda: ["alpha", "beta"]}
    )
    found = completer.get_completions(Document(typed), CompleteEvent())
    assert [one.text for one in found] == offered


def test_a_history_is_told_with_what_was_cancelled() -> None:
    """At the last message of the turn; a call of a tool is nobody's word; images are counted."""
    cancelled = {"job_id": "2", "cancelled": True}
    history = [
        {"role": "user", "content": "a", "job_id": "1", "images": ["x", "y"]},
        {"role": "assistant", "tool_calls": [], "job_id": "1"},
        {"role": "tool", "content": "42", "job_id": "1"},
        {"role": "assistant", "content": "b", "job_id": "1"},
        {"role": "user", "content": "c", **cancelled},
        {"role": "assistant", "content": "d", **cancelled},
        {"role": "user", "content": "e", **cancelled, "job_id": "3"},
    ]
    assert said_before(history, "energy") == [
        Said("you", "a", "(2 images)"),
        Said("energy", "b"),
        Said("you", "c"),
        Said("energy", "d", "(cancelled)"),
        Said("you", "e", "(cancelled)"),
    ]
    assert said_before([], "energy") == []


def test_an_image_is_read_by_its_path(tmp_path: Path) -> None:
    """Quotes are taken off; what is no file, or too large, is one line."""
    (tmp_path / "a b.png").write_bytes(b"1234")
    assert read_image(f"'{tmp_path}/a b.png'", max_bytes=4) == "MTIzNA=="
    with pytest.raises(InvalidJob, match="CHAT_MAX_IMAGE_BYTES"):
        read_image(f"{tmp_path}/a b.png", max_bytes=3)
    with pytest.raises(OSError, match="cannot be read: No such file"):
        read_image(f"{tmp_path}/none.png", max_bytes=3)
    with pytest.raises(OSError, match="is a folder"):
        read_image(str(tmp_path), max_bytes=3)


def test_an_agent_without_a_profile_is_said() -> None:
    """With the nearest name; not where no agent has one, for then all share the default."""
    profiles = Profiles.load(AgentSettings(_env_file=None))  # type: ignore[call-arg]
    assert "Did you mean energy?" in unknown(profiles, "enrgy")
    assert "Did you mean" not in unknown(profiles, "xyz")
    assert unknown(profiles, "energy") == ""
    assert unknown(Profiles(profiles.default, {}), "enrgy") == ""
    assert unknown(profiles, "") == unknown(profiles, "\udcff") == ""


@pytest.mark.parametrize(
    ("agent", "session"), [("", "s"), ("energy", ""), ("energy", "\udcff"), ("a" * 513, "s")]
)
def test_no_conversation_begins_under_what_is_no_id(agent: str, session: str) -> None:
    """It is said at once, not with the first message; what `/agent` and `/new` refuse stays out."""
    with pytest.raises(InvalidInput):
        Conversation(agent, session)
    talk = Conversation("energy", "s")
    with pytest.raises(InvalidInput):
        talk.use_agent("a" * 513)
    with pytest.raises(InvalidInput):
        talk.begin_session("\udcff")
    assert (talk.agent, talk.session) == ("energy", "s")


def test_a_message_that_may_be_in_is_sent_again_under_its_id() -> None:
    """So it cannot be answered twice; what differs, or was confirmed, is another message."""
    talk = Conversation("energy", "s")
    options = talk.options()
    first = talk.task_id("Hello", options)
    assert talk.task_id("Hello", talk.options()) == first
    assert talk.task_id("Hello!", options) != first
    talk.confirm("Hello", options)
    assert talk.task_id("Hello", options) != first


def test_a_message_that_may_be_in_is_said_without_ids() -> None:
    """Nobody can type a task_id here."""
    error = NotAccepted("Redis did not confirm job 1; send it again with the same task_id")
    error.__cause__ = MemoryUnavailable("it is away")
    said = not_confirmed(error)
    assert said == "Redis did not confirm the message, which may have been stored (it is away)"


def test_a_line_that_is_no_text_is_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """With a word for people."""
    pipe = Pipe(Conversation("energy", "s"), as_json=False)
    pipe.talk_through(["\udcff\n"])
    assert pipe.failures == 1
    assert capsys.readouterr().err == "griot: the line is not valid UTF-8\n"
