"""One tab of a browser with the live chat in it, as a person sees and uses it."""

from collections.abc import Mapping
from typing import Protocol

from tests.support.waiting import wait_until
from tests.support.web_users import TOKENS, USER

WAIT_S = 30
ENTER, SHIFT, NULL = "\ue007", "\ue008", "\ue000"
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
    """A tab that shows one session."""

    def __init__(self, driver: Driver, url: str) -> None:
        self.driver = driver
        driver.switch_to.new_window("tab")
        self._handle = driver.current_window_handle
        driver.get(url)
        self.sign_in()
        self.until_live()

    def sign_in(self) -> None:
        """Give a token where the page asks for one, as it does once for a browser."""
        wait_until(
            lambda: self.is_visible("login") or self.link() == "Live",
            timeout_s=WAIT_S,
            what="the page",
        )
        if self.is_visible("login"):
            self.front().find_element("id", "token").send_keys(TOKENS[USER], ENTER)

    def say(self, *lines: str) -> None:
        """Type a message and send it with Enter."""
        box = self.front().find_element("id", "text")
        for line in lines[:-1]:
            box.send_keys(line, SHIFT, ENTER, NULL)
        box.send_keys(lines[-1], ENTER)

    def click(self, element_id: str) -> None:
        """Click an element."""
        self.front().find_element("id", element_id).click()

    def reload(self) -> None:
        """Load the page again, as with F5."""
        self.front().refresh()

    def close(self) -> None:
        """Close the tab."""
        self.front().close()

    def shown(self, author: str, *, state: str = "") -> list[str]:
        """The texts of one author (`user` or `assistant`) in a state (`busy` or `waits`)."""
        selector = f"#log .{author}{state and '.' + state} .bubble"
        return self._texts(selector)

    def notes(self) -> list[str]:
        """What is said below messages."""
        return self._texts("#log .foot:not([hidden])")

    def is_visible(self, element_id: str) -> bool:
        """Whether an element is seen."""
        script = f"return document.getElementById('{element_id}').offsetParent !== null"
        return bool(self.front().execute_script(script))

    def link(self) -> str:
        """What the page says of its connection."""
        return str(
            self.front().execute_script("return document.getElementById('link').textContent")
        )

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

    def words(self) -> list[str]:
        """The words of the answer that is being written."""
        return " ".join(self.shown("assistant", state="busy")).split()

    def front(self) -> Driver:
        """The driver, with this tab in front."""
        self.driver.switch_to.window(self._handle)
        return self.driver

    def _texts(self, selector: str) -> list[str]:
        script = f"return Array.from(document.querySelectorAll('{selector}'), (e) => e.textContent)"
        found = self.front().execute_script(script)
        assert isinstance(found, list)
        return [str(text) for text in found]
