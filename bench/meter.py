"""What a process has used, by its operating system's count."""

from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]  # it ships no types

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads one process. CPU time comes in steps of 10 ms on Linux: measure seconds, not calls."""

    pid: int

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system, all threads."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def rss_mb(self) -> float:
        """Memory held now, MiB."""
        return float(psutil.Process(self.pid).memory_info().rss) / MIB
