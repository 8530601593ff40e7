"""The page /console in a browser: what operators see, do and are asked before they do it."""

import uuid
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from axe_selenium_python import Axe

from memory import Housekeeping, get_redis_memory
from sandbox.ollama import OllamaStandIn
from tasks import JobFailed, chat_task
from tests.browser.conftest import AGENT
from tests.browser.console_tab import WAIT_S, ConsoleTab
from tests.browser.test_accessibility import RULES
from tests.support.machine import scaled
from tests.support.tab import Driver
from tests.support.waiting import wait_until

HOSTILE = "\"><img src=x onerror=document.title='hit'><script>document.title='hit'</script>"
SLOW = "slow-tokens:400x50ms"
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture
def console(driver: Driver, gateway: str) -> Iterator[ConsoleTab]:
    """The console, with all that is done in it."""
    first = driver.current_window_handle
    tab = ConsoleTab(driver, f"{gateway}/console")
    yield tab
    tab.close()
    driver.switch_to.window(first)


@pytest.fixture
def session_id() -> str:
    """A session whose id would be markup."""
    return f"{HOSTILE}{uuid.uuid4()}"


@pytest.fixture
def dead_job(gateway: str, ollama: OllamaStandIn, session_id: str) -> str:
    """The id of a job that is a dead letter; its own id would be markup, too."""
    assert gateway
    ollama.script("ok", ["bad-400"])
    job_id = f"{HOSTILE}{uuid.uuid4()}"
    sent = chat_task.apply_async((AGENT, session_id, "hear me"), {"model": "ok"}, task_id=job_id)
    with pytest.raises(JobFailed):
        sent.get(timeout=WAIT_S)
    return job_id


def running(session_id: str) -> str:
    """The id of a job that takes long."""
    return str(chat_task.delay(AGENT, session_id, "a canary", model=SLOW).id)


def violations(driver: Driver) -> list[object]:
    """What axe finds of WCAG 2.1 A and AA."""
    driver.set_script_timeout(scaled(60))
    axe = Axe(driver)
    axe.inject()
    options = {"runOnly": {"type": "tag", "values": list(RULES)}}
    found = cast("dict[str, list[object]]", axe.run(options=options))
    assert found["passes"], "axe has looked at nothing"
    return found["violations"]


def test_a_running_turn_is_seen_and_cancelled(console: ConsoleTab, session_id: str) -> None:
    """After a question; another job of the session that waits goes on."""
    job_id = running(session_id)
    behind = chat_task.delay(AGENT, session_id, "and this", model="ok")
    console.until(job_id, within="#running")
    console.until("Behind another job", within="#waiting")
    console.press("Cancel", within="#running")
    console.until("Its turn runs", within="dialog[open]")
    console.press("Cancel the job")
    console.until_without(job_id, within="#running")
    assert behind.get(timeout=WAIT_S)["response"]
    console.until("cancel", within="#audit")
    assert console.text("title") == "Console – Griot", "an id was run as markup"


def test_a_dead_letter_is_sent_again_and_dropped(
    console: ConsoleTab, ollama: OllamaStandIn, dead_job: str
) -> None:
    """Dropping is asked for first; ids are shown as they are and never run."""
    console.run("location.reload()")
    console.until(dead_job, within="#letters")
    ollama.script("ok", ["bad-400"])
    console.press("Send again", within="#letters")
    console.until(f"Sent again as {dead_job}~r1", within="#news")
    console.until(f"{dead_job}~r1", within="#letters")
    console.press("Drop", within="#letters")
    console.until("deleted for good", within="dialog[open]")
    console.press("Drop it")
    console.until_without(f"{dead_job}~r1", within="#letters")
    assert console.text("title") == "Console – Griot", "an id was run as markup"
    assert not console.has("#main img, #main script")


def test_a_job_is_found_and_its_session_erased(console: ConsoleTab, session_id: str) -> None:
    """What was said is shown when it is asked for; erasing says first what goes."""
    sent = chat_task.delay(AGENT, session_id, "<b>my words</b>", model="ok")
    sent.get(timeout=WAIT_S)
    console.find(sent.id)
    console.until("Answered", within="#job")
    assert "my words" not in console.text("#job")
    console.press("Show what was said (this is recorded)")
    console.until("<b>my words</b>", within="#job .said")
    console.press("Erase its session")
    console.until("2 messages", within="dialog[open]")
    memory = get_redis_memory()
    assert memory.get_conversation_history(AGENT, session_id)
    console.press("Erase it")
    wait_until(
        lambda: not memory.get_conversation_history(AGENT, session_id),
        timeout_s=WAIT_S,
        what="an erased session",
    )
    console.find("nobody-has-this")
    console.until("No job found", within="dialog[open]")


def test_charts_are_drawn_with_a_table_behind(console: ConsoleTab, session_id: str) -> None:
    """From the snapshots; each says in words what it shows."""
    memory = get_redis_memory()
    housekeeping = Housekeeping(memory.connection, memory.keyspace)

    def done() -> int:
        housekeeping.record_stats()
        return housekeeping.read_stats()[-1].turns.get("done", 0)

    before = done()
    chat_task.delay(AGENT, session_id, "count me", model="ok").get(timeout=WAIT_S)
    wait_until(lambda: done() > before, timeout_s=WAIT_S, what="a counted turn")
    console.run("location.reload()")
    console.until("As a table", within="#charts")
    labels = cast(
        "list[str]",
        console.run(
            "return Array.from(document.querySelectorAll('#charts svg'), (e) => e.ariaLabel)"
        ),
    )
    assert any(one.startswith("Turns from") and "answered: last" in one for one in labels)
    assert any(one.startswith("Memory of Redis") for one in labels)
    assert console.has("#charts .bar.series-1")
    assert console.has("#charts .area")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(
    console: ConsoleTab, driver: Driver, session_id: str, dead_job: str, scheme: str
) -> None:
    """With running, waiting and dead jobs, and in a dialog."""
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    job_id = running(session_id)
    console.run("location.reload()")
    console.until(job_id, within="#running")
    console.until(dead_job, within="#letters")
    assert violations(console.front()) == []
    console.find(dead_job)
    console.until("Dead letter", within="#job")
    assert violations(console.front()) == []
    chat_task.cancel(job_id)


def test_on_a_phone_nothing_runs_out_of_the_page(
    console: ConsoleTab, driver: Driver, session_id: str, dead_job: str
) -> None:
    """Rows are cards there."""
    job_id = running(session_id)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    console.run("location.reload()")
    console.until(job_id, within="#running")
    console.until(dead_job, within="#letters")
    wide = "return document.documentElement.scrollWidth"
    assert console.run(wide) == PHONE["width"]
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chat_task.cancel(job_id)


def test_nobody_is_asked_while_nobody_looks(
    console: ConsoleTab, new_tab: Callable[..., object]
) -> None:
    """In a hidden tab it pauses, and goes on when it is seen again."""
    console.run(
        "window.asked = 0; const ask = window.fetch;"
        "window.fetch = (...given) => { window.asked += 1; return ask(...given); };"
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    console.until("Paused", within="#link")
    before = console.run("return window.asked")
    new_tab("quick")  # takes longer than two rounds
    assert console.run("return window.asked") == before
    console.run(
        "Object.defineProperty(document, 'hidden', { value: false, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    console.until("Live", within="#link")
    wait_until(lambda: console.run("return window.asked") != before, what="a request")
