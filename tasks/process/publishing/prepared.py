"""A message of Celery's as its bytes, of which a few values differ each time. Pure."""

import json
import uuid
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from typing import Self

_BODY, _TAG = "@body", "@tag"


def new_marks(names: Iterable[str]) -> dict[str, str]:
    """A text for each of these names that occurs in no message."""
    return {name: f"griot-{uuid.uuid4().hex}" for name in names}


@dataclass(frozen=True, slots=True)
class PreparedMessage:
    """What an element of the list `key` is, but for some values."""

    key: str
    _element: str = field(repr=False)
    _body: str = field(repr=False)

    @classmethod
    def of(cls, key: str, element: str, marks: Mapping[str, str]) -> Self | None:
        """Take an element apart that Celery has made, in which each value is its mark.

        None where it is not what kombu makes of JSON, such as a message that is compressed.
        """
        try:
            message = json.loads(element)
            tag, packed = message["properties"]["delivery_tag"], message["body"]
            body = b64decode(packed, validate=True).decode("ascii")
            json.loads(body)
        except (KeyError, TypeError, ValueError):
            return None
        inner = _with_fields(body, marks)
        outer = _with_fields(element, {**marks, _TAG: tag, _BODY: packed})
        is_whole = all(mark not in inner + outer for mark in (*marks.values(), tag, packed))
        has_all = all(f"%({name})s" in inner + outer for name in marks)
        return cls(key, outer, inner) if is_whole and has_all else None

    def filled(self, values: Mapping[str, object]) -> str:
        """The element with these values, for each mark one, and a delivery tag of its own."""
        texts = {name: _json(value) for name, value in values.items()}
        texts[_TAG] = f'"{uuid.uuid4()}"'
        body = b64encode((self._body % texts).encode()).decode()
        return self._element % {**texts, _BODY: f'"{body}"'}


def _with_fields(text: str, marks: Mapping[str, str]) -> str:
    text = text.replace("%", "%%")
    for name, mark in marks.items():
        text = text.replace(f'"{mark}"', f"%({name})s")
    return text


def _json(value: object) -> str:
    """As `json.dumps`, which takes five calls for it."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    return repr(value) if type(value) in (int, float) else json.dumps(value)
