"""What a process has used, by its operating system's count."""

from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]  # it ships no types

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads one process. CPU time comes in steps of 10 ms on Linux: measure seconds, not calls."""

    pid: int

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system, all threads, and those of its children that
        still run."""
        process = psutil.Process(self.pid)
        used = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        return float(sum(times.user + times.system for times in used))

    def rss_mb(self) -> float:
        """Memory held now, MiB."""
        return float(psutil.Process(self.pid).memory_info().rss) / MIB
