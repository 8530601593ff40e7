"""Names of models as Ollama reads them (docs/ollama.md, Requests). Pure.

A name is host/namespace/model:tag; all but the model have a default. Two names mean one model if
they differ in case alone or in what is the default. Spaces around a name and a scheme before it are
cut off; `:local` at the end is dropped.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from sandbox.ollama.errors import Refused

_HOST, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", re.ASCII)
_NAMESPACE_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", re.ASCII)
_HOST_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelName:
    """One name, taken apart, in the spelling in which it came."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def folded(self) -> str:
        """The same text for all names of one model."""
        return self.full.lower()

    @property
    def full(self) -> str:
        """With host and namespace, as some errors have it."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def short(self) -> str:
        """Without those that are the default, always with the tag: as the lists have it."""
        short = f"{self.model}:{self.tag}"
        if self.host.lower() != _HOST:
            return f"{self.host}/{self.namespace}/{short}"
        return short if self.namespace.lower() == _NAMESPACE else f"{self.namespace}/{short}"


@lru_cache(maxsize=4096)
def parse(text: str) -> ModelName:
    """Raises Refused (400 `invalid model name`)."""
    rest = text.strip()
    if "://" in rest:
        rest = rest.partition("://")[2]
    if rest.lower().endswith(":local"):
        rest = rest[: -len(":local")]
    path, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        path, tag = rest, _TAG
    *before, model = path.split("/")
    if len(before) > 2:
        raise invalid()
    host = before[0] if len(before) == 2 else _HOST
    namespace = before[-1] if before else _NAMESPACE
    is_valid = (
        _PART.fullmatch(model)
        and _PART.fullmatch(tag)
        and _NAMESPACE_PART.fullmatch(namespace)
        and _HOST_PART.fullmatch(host)
    )
    if not is_valid:
        raise invalid()
    return ModelName(host, namespace, model, tag)


def invalid() -> Refused:
    """The text that is no name."""
    return Refused(400, "invalid model name")


def is_of_cloud(text: str) -> bool:
    """Whether the tag asks for a model of the cloud. Raises Refused (400) if it also says local."""
    rest = text.strip().lower()
    tag = rest.rpartition(":")[2] if ":" in rest else ""
    is_cloud = tag == "cloud" or tag.endswith("-cloud")
    if (is_cloud and ":local:" in rest) or (tag == "local" and ":cloud:" in rest):
        raise Refused(400, f'use either :local or :cloud, not both: "{text}"')
    return is_cloud
