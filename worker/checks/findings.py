"""What a check says: how bad it is, what it found, what to do."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it where something can be. Holds no secret."""

    check: str
    level: Level
    found: str
    advice: str = ""


def judged(is_well: bool, trouble: Finding) -> Finding:
    """The finding as it stands if all is not well, else without its level and advice."""
    return replace(trouble, level=Level.OK, advice="") if is_well else trouble
