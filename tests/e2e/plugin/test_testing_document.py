"""docs/testing.md: each of its sections is a project of somebody else, with Griot's wheel."""

import re
from pathlib import Path

import pytest

from tests.support.machine import scaled
from tests.support.wheel import Environment, installed

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")
BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHERS = ("langsmith_plugin", "randomly", "asyncio", "cacheprovider")
"""Plugins of this environment that have nothing to do with it."""


def projects() -> dict[str, dict[str, str]]:
    """The files of each section that has tests, by its heading."""
    _, *sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    found = {text.partition("\n")[0]: dict(BLOCK.findall(text)) for text in sections}
    return {title: files for title, files in found.items() if files}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with Griot's wheel and what its extras bring."""
    return installed(ROOT, tmp_path_factory.mktemp("wheel"))


def test_every_block_of_code_is_a_file_of_a_project() -> None:
    """Or it would not be run."""
    blocks = re.findall(r"^```(?:python|toml)$", PAGE, re.MULTILINE)
    assert len(blocks) == sum(map(len, projects().values())) > 0


@pytest.mark.slow
@pytest.mark.parametrize("title", projects())
def test_a_section_does_what_it_shows(wheel: Environment, tmp_path: Path, title: str) -> None:
    """In a folder that has nothing else."""
    files = projects()[title]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    without = [option for plugin in OTHERS for option in ("-p", f"no:{plugin}")]
    options = ("-q", "-W", "error", "--durations=3", *without)
    done = wheel.run("python", "-m", "pytest", *options, cwd=tmp_path, timeout_s=scaled(60))
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = sum(text.count("def test_") for text in files.values())
    assert f"{wanted} passed" in done.stdout, done.stdout
