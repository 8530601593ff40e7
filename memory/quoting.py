"""What a caller sent, as errors, log lines and events may show it. Pure.

`llm.wire.quoting` is the same for `llm`, which imports no package of ours; a test compares them.
"""

import re

_NAME = re.compile(r"[A-Za-z0-9_.:/+-]{0,64}")


def is_name(value: object) -> bool:
    """Whether it has the shape of a name, and so may be shown."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def quoted(value: object) -> str:
    """A name in quotes, a number as it is; of anything else only how long it is, or its type.

    A name has at most 64 ASCII letters, digits and `_.:/+-`. Whatever else stands in the place of
    one may be what somebody says: it is not shown, nor can it forge or fill a line of a log.
    """
    if isinstance(value, str):
        return f"'{value}'" if is_name(value) else f"text of {len(value)} characters"
    is_short = value is None or isinstance(value, bool | float)
    is_short = is_short or (isinstance(value, int) and abs(value) < 1e18)
    return str(value) if is_short else f"a value of type {type(value).__name__}"
