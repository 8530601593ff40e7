"""The page /chat: what is written in Markdown, thought, called, shown in images; and branches."""

from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.ollama.scenarios import Scenario
from tests.support.tab import WAIT_S, Tab
from tests.support.waiting import wait_until

NewTab = Callable[..., Tab]
CANARY = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
LINKS = "[a](javascript:document.title='owned') ![b](https://elsewhere.example/b.png)"
ANSWER = f"""# Heading
{CANARY} {LINKS}

- one
- **two**

```python
print("three")
```
"""
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGPgl0nCihgGlwQAs1wkwXl8wdkAAAAA"
    "SUVORK5CYII="
)
PUT = """const file = new File([Uint8Array.from(atob('%s'), (one) => one.charCodeAt(0))], 'a.png',
    { type: 'image/png' });
const data = new DataTransfer();
data.items.add(file);
"""


def test_markdown_is_rendered_and_runs_nothing(
    new_tab: NewTab, ollama: OllamaStandIn, session_id: str
) -> None:
    """Of a message, an answer, a session and an agent that are full of markup. No picture of
    elsewhere is asked for, and the page breaks none of its own rules."""
    canary = "%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D'owned'%22%3E"
    tab = new_tab(canary, canary)
    tab.driver.get_log("browser")
    ollama.script_next(Scenario("odd", text=ANSWER))
    tab.say(CANARY)
    tab.until_answered()
    wait_until(lambda: tab.has(".answer h1"), timeout_s=WAIT_S, what="Markdown")
    assert tab.shown("user") == [CANARY]
    assert tab.texts(".answer li") == ["one", "two"]
    assert tab.texts(".answer pre") == ['print("three")']
    assert CANARY in tab.shown("assistant")[0]
    assert not tab.has("#log img, #log script, .answer a[href^=javascript], #sessions img")
    assert "owned" not in str(tab.run("return document.title + location"))[:5]
    assert tab.driver.get_log("browser") == []


def test_thoughts_are_folded_and_told_on_demand(new_tab: NewTab, session_id: str) -> None:
    """The answer is what is read; after a reload the receipt brings the thoughts back."""
    tab = new_tab("thinker")
    tab.say("What is WAPP?")
    tab.until_answered()
    tab.reload()
    tab.until_answered()
    tab.press("Receipt")
    wait_until(lambda: tab.has(".thinking:not([hidden])"), timeout_s=WAIT_S, what="the thoughts")
    assert tab.run("return document.querySelector('.thinking').open") is False
    assert tab.texts(".thoughts") != [""]


def test_tools_are_shown_with_what_they_gave(new_tab: NewTab, session_id: str) -> None:
    """Before the answer, folded; also after a reload."""
    tab = new_tab("tooled")
    tab.say("What is the capacity of 300?")
    tab.until_answered()
    for _ in range(2):
        wait_until(
            lambda: tab.texts(".tool summary") == ["Tool capacity_of"],
            timeout_s=WAIT_S,
            what="the tool",
        )
        assert len(tab.texts(".tool pre")) == 2
        tab.reload()
        tab.until_answered()


def test_how_far_a_tool_is_is_seen_while_it_runs(
    new_tab: NewTab, session_id: str, tmp_path: Path
) -> None:
    """Beside its name, until it has ended."""
    tab, book = new_tab("reader"), tmp_path / "book"
    tab.say(str(book))
    wait_until(
        lambda: tab.texts(".tool summary") == [
            "Tool read_until runs… 40 %, reading page 3 of book"
        ],
        timeout_s=WAIT_S,
        what="its progress",
    )  # fmt: skip
    book.touch()
    tab.until_answered()
    assert tab.texts(".tool summary") == ["Tool read_until"]


def test_a_receipt_says_what_the_model_was_shown(new_tab: NewTab, session_id: str) -> None:
    """And what was left out; by its numbers and the first words of each turn."""
    tab = new_tab("quick")
    for number, words in enumerate(("first", "second"), start=1):
        tab.say(words)
        tab.until_answered(number)
    tab.press("Receipt")
    shown = "3 messages, 2 of them from earlier in this conversation"
    wait_until(
        lambda: {shown, "nothing"} <= {*tab.texts(".receipt dd")},
        timeout_s=WAIT_S,
        what="what the model was shown",
    )
    assert tab.texts(".receipt ol li") == ["first"]


@pytest.mark.parametrize("way", ["paste", "drop", "choose"])
def test_an_image_is_sent(new_tab: NewTab, session_id: str, way: str, tmp_path: Path) -> None:
    """Pasted, dropped or chosen; it is seen before and after, and the model gets it."""
    tab = new_tab("eyed")
    put = PUT % PNG
    if way == "choose":
        path = tmp_path / "a.png"
        path.write_bytes(b64decode(PNG))
        tab.front().find_element("id", "files").send_keys(str(path))
    elif way == "paste":
        event = "new ClipboardEvent('paste', { clipboardData: data, cancelable: true })"
        tab.run(f"{put} document.getElementById('text').dispatchEvent({event})")
    else:
        event = "new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })"
        tab.run(f"{put} document.body.dispatchEvent({event})")
    wait_until(lambda: tab.has("#thumbs img"), timeout_s=WAIT_S, what="its picture")
    tab.say("What is this?")
    tab.until_answered()
    loaded = "return document.querySelector('#log .images img').naturalWidth"
    assert tab.run(loaded) == 8
    (question, _) = get_redis_memory().get_conversation_history("eyed", session_id)
    assert question["images"] == [PNG]


def test_an_edited_message_branches_off(new_tab: NewTab, session_id: str) -> None:
    """In a new conversation that shares what was before; the old one stays as it was."""
    tab = new_tab("quick")
    for number, words in enumerate(("first", "second", "third"), start=1):
        tab.say(words)
        tab.until_answered(number)
    tab.press("Edit", turn=1)
    assert tab.box() == "second"
    assert tab.is_visible("editing")
    tab.say(" but better")
    wait_until(
        lambda: tab.shown("user") == ["first", "second but better"],
        timeout_s=WAIT_S,
        what="the branch",
    )
    tab.until_answered(2)
    assert "I remember 1 earlier turn" in tab.shown("assistant")[1]
    assert f"/{session_id}" not in str(tab.run("return location.hash"))
    kept = get_redis_memory().get_conversation_history("quick", session_id)
    assert [one["content"] for one in kept][::2] == ["first", "second", "third"]


def test_a_conversation_is_exported(new_tab: NewTab, session_id: str) -> None:
    """By two clicks, as a file that the page makes of what the gateway gives."""
    tab = new_tab("quick")
    tab.say("What is WAPP?")
    tab.until_answered()
    saved = """window.saved = [];
        HTMLAnchorElement.prototype.click = function () { window.saved.push(this.download); };"""
    tab.run(saved)
    for form in ("markdown", "json"):
        tab.click("#export summary")
        tab.click(f"#export-{form}")
    wait_until(
        lambda: tab.run("return window.saved") == [f"{session_id}.md", f"{session_id}.json"],
        timeout_s=WAIT_S,
        what="the files",
    )
