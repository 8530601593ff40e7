"""A variable that is there and empty, as `.env.example` offers many, in every settings class."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from deploy import reference
from worker.settings import WorkerSettings

CLASSES = [kind for _, kind in reference.SECTIONS]


def names_of(kind: type[BaseSettings]) -> list[str]:
    """What the environment calls the settings of one class."""
    return [name for name, _ in reference.named_fields(kind)]


def numbers_of(kind: type[BaseSettings]) -> list[str]:
    """Those that are whole numbers."""
    return [name for name, field in reference.named_fields(kind) if field.annotation is int]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of this machine and no .env file plays a part."""
    for kind in CLASSES:
        for name in names_of(kind):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_empty_variable_is_not_given(
    kind: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them empty mean the defaults; only an empty LOG_FILE says something."""
    defaults = kind()
    for name in names_of(kind):
        if name != "LOG_FILE":
            monkeypatch.setenv(name, "")
    assert kind() == defaults


@pytest.mark.parametrize("kind", CLASSES)
def test_an_empty_line_of_the_env_file_is_not_given(
    kind: type[BaseSettings], tmp_path: Path
) -> None:
    """As a copy of `.env.example` has it where only the comment sign was taken away."""
    defaults = kind()
    lines = [f"{name}=\n" for name in names_of(kind) if name != "LOG_FILE"]
    (tmp_path / ".env").write_text("".join(lines))
    assert kind() == defaults


def test_an_empty_log_file_is_no_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented way to keep the log in the terminal only."""
    monkeypatch.setenv("LOG_FILE", "")
    assert WorkerSettings().log_file is None
    assert WorkerSettings(log_file="").log_file is None  # type: ignore[arg-type]  # as given


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if numbers_of(kind)])
def test_a_refused_value_is_not_in_the_error(
    kind: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may have put a secret into the wrong variable."""
    monkeypatch.setenv(numbers_of(kind)[0], "hunter2")
    with pytest.raises(ValidationError) as refused:
        kind()
    assert "hunter2" not in str(refused.value)
