"""A worker that imports this counts nothing: what counting costs is what it is faster by."""

from telemetry.series import Amounts, Count, Labelled, Reading

_NOTHING = Reading()


def _nothing(*_: object) -> None:
    """Count nothing."""


for _kind, _names in (
    (Count, ("inc",)),
    (Reading, ("inc", "dec", "set", "set_function", "observe", "observe_all")),
    (Amounts, ("observe", "observe_all")),
):
    for _name in _names:
        setattr(_kind, _name, _nothing)
setattr(Labelled, "labels", lambda *_: _NOTHING)  # noqa: B010  # mypy
