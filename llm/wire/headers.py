"""The headers that a gateway or the cloud wants with each request. They come from settings only.

No error repeats a value: each may be a secret.
"""

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_OURS = frozenset(
    ("accept", "accept-encoding", "connection", "content-length", "content-type", "host",
     "transfer-encoding")
)  # fmt: skip


def read_headers(text: str, key: str) -> Mapping[str, str]:
    """The headers of `Name=value, Name=value`, and of a bearer token unless it is empty.

    Raises ValueError that names the setting and what is wrong.
    """
    headers: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (word.strip() for word in part.partition("="))
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("OLLAMA_HEADERS is Name=value, Name=value, in printable ASCII")
        if name.lower() in _OURS:
            raise ValueError(f"OLLAMA_HEADERS cannot set {name}")
        if name.lower() in map(str.lower, headers):
            raise ValueError(f"OLLAMA_HEADERS names {name} twice")
        headers[name] = value
    return {**headers, **_authorization(key.strip(), headers)}


def _authorization(key: str, headers: Mapping[str, str]) -> Mapping[str, str]:
    if not key:
        return {}
    if not _VALUE.fullmatch(key) or " " in key:
        raise ValueError("OLLAMA_API_KEY is printable ASCII without blanks")
    if "authorization" in map(str.lower, headers):
        raise ValueError("OLLAMA_API_KEY and OLLAMA_HEADERS both say Authorization")
    return {"Authorization": f"Bearer {key}"}
