"""Names that look like settings and are none; and a command line without its extra."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy import reference
from worker.cli import main
from worker.unknown_settings import CLASSES, OF_OTHERS, known_names, warnings_of_unknown

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def own_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One without a .env of this machine."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_slip_in_the_env_file_is_named_with_its_setting(own_directory: Path) -> None:
    """And without its value, which may be a password in any case of letters."""
    (own_directory / ".env").write_text("OLLAMA_MODLE=x\nredis_pasword=geheim\nREDIS_HOST=h\n")
    first, second = warnings_of_unknown({})
    assert first.startswith("OLLAMA_MODLE in .env is not a setting")
    assert first.endswith("did you mean OLLAMA_MODEL?")
    assert second.endswith("did you mean REDIS_PASSWORD?")
    assert "geheim" not in second


def test_what_is_like_nothing_in_the_env_file_is_one_line(own_directory: Path) -> None:
    """Other programs may read the same file."""
    (own_directory / ".env").write_text("POSTGRES_DSN=x\nMODEL=y\nCOMPOSE_PROJECT_NAME=z\n")
    assert warnings_of_unknown({}) == [
        "MODEL, POSTGRES_DSN in .env are not settings of Griot and ignored"
    ]


@pytest.mark.parametrize(
    ("name", "is_named"),
    [
        *(
            ("LLM_TIMEOT", True),
            ("OLLAMA_MODLE", True),
            ("CHAT_LEASE", True),
            ("OLAMA_MODEL", True),
        ),
        *(("REDIS_HOST", False), ("ollama_model", False), ("OLLAMA_MODELS", False)),
        *(("REDIS_PORT_6379_TCP_ADDR", False), ("REDIS_SERVICE_HOST", False), ("PATH", False)),
        *(("PROD_REDIS_HOST", False), ("TESTS_OLLAMA_MODELS", False)),
        *(("WORKER_ID", False), ("FLOWER_DEBUG", False), ("CELERY_LOG_LEVEL", False)),
    ],
)
def test_of_the_environment_only_what_can_be_meant_for_us_is_named(
    name: str, is_named: bool
) -> None:
    """Ollama, Kubernetes, Celery and Flower have variables that begin alike."""
    assert bool(warnings_of_unknown({name: "1"})) is is_named


def test_every_setting_and_what_compose_reads_is_known() -> None:
    """No documented name is called unknown."""
    assert {kind for _, kind in reference.SECTIONS} - {*CLASSES, *CLASSES[4].__bases__} == set()
    documented = re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    composed = re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text())
    named = {one for one in (*documented, *composed) if not one.startswith(OF_OTHERS)}
    assert named - known_names() == set()


def test_a_command_says_it_on_standard_error(own_directory: Path) -> None:
    """Before it does anything else, and once."""
    (own_directory / ".env").write_text("OLLAMA_MODLE=x\n")
    ended = CliRunner().invoke(main, ["up", "--help"])
    assert ended.stderr.count("OLLAMA_MODLE") == 1
    assert "OLLAMA_MODLE" not in ended.stdout


@pytest.mark.parametrize("missing", ["celery", "click", "rich"])
def test_without_its_extra_the_command_line_says_what_to_install(missing: str) -> None:
    """As after a plain `pip install`: one line, no traceback."""
    code = f"import sys; sys.modules[{missing!r}] = None; import griot; griot.main()"
    ended = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        f"griot: the command line needs {missing}, which is not installed: "
        "pip install './griot[worker]'\n"
    )
