"""Where a worker finds the modules of its tools."""

import subprocess
import sys
from pathlib import Path

LOOK = "import celery.bin.celery, worker, sys; print(sys.path[-1])"


def test_the_folder_where_a_worker_starts_is_on_its_path(tmp_path: Path) -> None:
    """As docs/agents.md says: also where `celery` is a script, in front of which nothing stands."""
    told = subprocess.run(
        (sys.executable, "-P", "-c", LOOK), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(told.stdout.strip()).resolve() == tmp_path.resolve()
