"""A tab of a browser with the page /console in it, as an operator sees and uses it."""

import json
from typing import cast

from tests.support.machine import scaled
from tests.support.tab import ENTER, Driver, Element
from tests.support.waiting import wait_until

WAIT_S = scaled(30)


class ConsoleTab:
    """The console in a tab of its own."""

    def __init__(self, driver: Driver, url: str, *, key: str | None = None) -> None:
        self.driver = driver
        driver.switch_to.new_window("tab")
        self._handle = driver.current_window_handle
        driver.get(url)
        if key is not None:
            wait_until(lambda: self.has("#key-dialog[open]"), timeout_s=WAIT_S, what="the question")
            self.front().find_element("id", "key").send_keys(key, ENTER)
        wait_until(lambda: self.text("#link") == "Live", timeout_s=WAIT_S, what="a live console")

    def find(self, job_id: str) -> None:
        """Look for a job by its id, once no dialog is before the page."""
        wait_until(lambda: not self.has("dialog[open]"), timeout_s=WAIT_S, what="no dialog")
        box = self.front().find_element("id", "job-id")
        self.run("document.getElementById('job-id').value = ''")
        box.send_keys(job_id, ENTER)

    def press(self, word: str, *, within: str = "dialog[open]") -> None:
        """Click the first button with this word in a part of the page, once it is there."""
        script = f"""return Array.from(document.querySelectorAll({json.dumps(within + " button")}))
            .find((one) => one.textContent === {json.dumps(word)} && !one.disabled)"""
        wait_until(lambda: self.run(script) is not None, timeout_s=WAIT_S, what=f"button {word}")
        cast(Element, self.run(script)).click()

    def until(self, word: str, *, within: str) -> None:
        """Wait until a part of the page says this."""
        wait_until(lambda: word in self.text(within), timeout_s=WAIT_S, what=word)

    def until_without(self, word: str, *, within: str) -> None:
        """Wait until a part of the page says this no longer."""
        wait_until(lambda: word not in self.text(within), timeout_s=WAIT_S, what=f"no {word}")

    def text(self, selector: str) -> str:
        """All that a part of the page says; "" where it is not there."""
        script = f"return document.querySelector({json.dumps(selector)})?.textContent ?? ''"
        return str(self.run(script))

    def has(self, selector: str) -> bool:
        """Whether there is such an element, seen or not."""
        return self.run(f"return document.querySelector({json.dumps(selector)}) !== null") is True

    def run(self, script: str) -> object:
        """What a script gives that is run in the page."""
        return self.front().execute_script(script)

    def front(self) -> Driver:
        """The driver, with this tab in front."""
        self.driver.switch_to.window(self._handle)
        return self.driver

    def close(self) -> None:
        """Close the tab."""
        self.front().close()
