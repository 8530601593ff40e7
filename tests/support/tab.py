"""One tab of a browser with the page /chat in it, as a person sees and uses it."""

from collections.abc import Mapping
from typing import Protocol, cast

from tests.support.waiting import wait_until

WAIT_S = 30
ENTER, SHIFT, NULL, TAB, ESCAPE = "\ue007", "\ue008", "\ue000", "\ue004", "\ue00c"
"""Keys, as WebDriver names them; NULL lets go of SHIFT."""


class Element(Protocol):
    """What is used of selenium's WebElement."""

    def click(self) -> None:
        """Click where a person would; fails where something covers it."""

    def send_keys(self, *value: str) -> None:
        """Type."""


class Windows(Protocol):
    """What is used of selenium's SwitchTo."""

    def window(self, window_name: str) -> None:
        """Bring a tab to the front."""

    def new_window(self, type_hint: str) -> None:
        """Open a tab and bring it to the front."""


class Driver(Protocol):
    """What is used of selenium's WebDriver."""

    current_window_handle: str

    @property
    def switch_to(self) -> Windows:
        """The tabs."""

    def get(self, url: str) -> None:
        """Go to an address."""

    def refresh(self) -> None:
        """Load the page again."""

    def close(self) -> None:
        """Close the tab in front."""

    def quit(self) -> None:
        """Close the browser."""

    def execute_script(self, script: str) -> object:
        """Run a script in the page."""

    def set_script_timeout(self, time_to_wait: float) -> None:
        """How many seconds a script that answers later may take."""

    def execute_cdp_cmd(self, cmd: str, cmd_args: Mapping[str, object]) -> object:
        """A command of Chromium's own protocol."""

    def find_element(self, by: str, value: str) -> Element:
        """An element of the page."""

    def get_log(self, log_type: str) -> list[dict[str, object]]:
        """What was written since the last call."""

    def save_screenshot(self, filename: str) -> bool:
        """Write what is seen to a file."""


class Tab:
    """A tab that shows one conversation."""

    def __init__(
        self, driver: Driver, url: str, *, key: str | None = None, waits: bool = True
    ) -> None:
        self.driver = driver
        driver.switch_to.new_window("tab")
        self._handle = driver.current_window_handle
        driver.get(url)
        if key is not None:
            self.give_key(key)
        if waits:
            self.until_live()

    def give_key(self, key: str) -> None:
        """Type an API key where the page asks for one."""
        wait_until(lambda: self.has("#key-dialog[open]"), timeout_s=WAIT_S, what="the question")
        self.front().find_element("id", "key").send_keys(key, ENTER)

    def say(self, *lines: str, on_busy: str | None = None) -> None:
        """Type a message and send it with Enter; `on_busy`: what it does to those that wait."""
        if on_busy is not None:
            wait_until(lambda: self.is_visible("busy"), timeout_s=WAIT_S, what="the choice")
            self.click(f"#busy option[value={on_busy}]")
        box = self.front().find_element("id", "text")
        for line in lines[:-1]:
            box.send_keys(line, SHIFT, ENTER, NULL)
        box.send_keys(lines[-1], ENTER)

    def click(self, selector: str) -> None:
        """Click an element."""
        self.front().find_element("css selector", selector).click()

    def press(self, word: str, *, turn: int = -1) -> None:
        """Click the button with this word of one turn."""
        find = f"""const turn = Array.from(document.querySelectorAll('#log .turn')).at({turn});
            return Array.from(turn.querySelectorAll('button'))
                .find((one) => one.textContent === '{word}')"""
        wait_until(lambda: self.run(find) is not None, timeout_s=WAIT_S, what=f"a button {word}")
        cast(Element, self.run(find)).click()

    def run(self, script: str) -> object:
        """What a script gives that is run in the page."""
        return self.front().execute_script(script)

    def reload(self) -> None:
        """Load the page again, as with F5."""
        self.front().refresh()

    def close(self) -> None:
        """Close the tab."""
        self.front().close()

    def shown(self, author: str, *, state: str = "") -> list[str]:
        """The texts of one author (`user` or `assistant`), of turns in a state."""
        part = ".bubble" if author == "user" else ".answer"
        of_state = f"[data-state={state}]" if state else ""
        return self.texts(f"#log .turn{of_state} {part}:not([hidden])")

    def notes(self) -> list[str]:
        """What is said below messages."""
        return self.texts("#log .note")

    def has(self, selector: str) -> bool:
        """Whether there is such an element, seen or not."""
        return self.run(f"return document.querySelector('{selector}') !== null") is True

    def is_visible(self, element_id: str) -> bool:
        """Whether an element is seen."""
        found = f"document.getElementById('{element_id}')"
        seen = "checkVisibility({ visibilityProperty: true })"
        return bool(self.run(f"return {found}?.{seen} === true"))

    def link(self) -> str:
        """What the page says of its connection."""
        return str(self.run("return document.getElementById('link').textContent"))

    def box(self) -> str:
        """What is in the message box."""
        return str(self.run("return document.getElementById('text').value"))

    def until_live(self) -> None:
        """Wait for the connection."""
        wait_until(lambda: self.link() == "Live", timeout_s=WAIT_S, what="a live page")

    def until_words(self, least: int) -> None:
        """Wait until so many words of an answer are seen while it is written."""
        wait_until(lambda: len(self.words()) >= least, timeout_s=WAIT_S, what=f"{least} words")

    def until_answered(self, answers: int = 1) -> None:
        """Wait until so many answers are there and none is under way."""
        wait_until(
            lambda: len(self.shown("assistant")) == answers and not self.is_visible("stop"),
            timeout_s=WAIT_S,
            what=f"{answers} answers",
        )

    def until_noted(self, note: str) -> None:
        """Wait until something is said below a message."""
        wait_until(lambda: any(note in one for one in self.notes()), timeout_s=WAIT_S, what=note)

    def words(self) -> list[str]:
        """The words of the answer that is being written."""
        return " ".join(self.shown("assistant", state="running")).split()

    def front(self) -> Driver:
        """The driver, with this tab in front."""
        self.driver.switch_to.window(self._handle)
        return self.driver

    def texts(self, selector: str) -> list[str]:
        """The texts of all such elements."""
        script = f"return Array.from(document.querySelectorAll('{selector}'), (e) => e.textContent)"
        found = self.run(script)
        assert isinstance(found, list)
        return [str(text).strip() for text in found]
