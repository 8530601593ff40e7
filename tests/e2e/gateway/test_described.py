"""The gateway answers as its OpenAPI document says, whatever it is asked: Schemathesis."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.effort import IS_LONG, effort
from tests.support.machine import scaled

CHECKS = (
    "not_a_server_error,response_schema_conformance,status_code_conformance,"
    "content_type_conformance"
)
PHASES = "coverage,fuzzing" if IS_LONG else "fuzzing"
EXAMPLES = effort(2, long=50)
COMMAND = Path(sys.executable).with_name("schemathesis")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_is_asked_is_answered_as_described(gateway: str, tmp_path: Path) -> None:
    """No fault of the server, and no answer of another form; the same requests each time."""
    ended = subprocess.run(
        (COMMAND, "run", f"{gateway}/openapi.json", "--checks", CHECKS, "--phases", PHASES,
         "-n", str(EXAMPLES), "--seed", "1", "--no-color"),
        cwd=tmp_path, capture_output=True, text=True, timeout=scaled(600), check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-4000:]


def test_the_document_says_who_may_ask_and_how_errors_look(http: httpx.Client) -> None:
    """And which answers are streamed."""
    document = http.get("/openapi.json").json()
    create = document["paths"]["/v1/responses"]["post"]
    assert create["security"] == [{"key": []}, {}]
    assert set(create["responses"]) == {"200", "4XX", "5XX"}
    assert set(create["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert "security" not in document["paths"]["/healthz"]["get"]
