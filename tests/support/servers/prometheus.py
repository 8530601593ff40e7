"""A real Prometheus, where Debian's package is installed; none is downloaded."""

import shutil

import pytest

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="there is no Prometheus here: apt-get install prometheus",
)
