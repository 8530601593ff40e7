"""vulture finds code without a caller in `make check`; here its exceptions are held short."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_exception_of_the_dead_code_check_is_needed() -> None:
    """A name on the list that vulture would not report hides what dies under that name later."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["vulture"]
    # A name that nothing has, because an empty list would leave the one of pyproject.toml in force.
    command = (sys.executable, "-m", "vulture", "--ignore-names", "no_name_at_all")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    reported = set(re.findall(r"unused \w+ '(\w+)'", done.stdout))
    assert reported, done.stderr
    assert set(settings["ignore_names"]) - reported == set(), "takes no exception any more"
