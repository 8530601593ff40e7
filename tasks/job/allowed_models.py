"""Which models a job may name. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm import is_cloud, is_installed
from tasks.errors import InvalidJob
from tasks.limits import ANY_MODEL

SHOWN = 10


@dataclass(frozen=True, slots=True)
class AllowedModels:
    """The models of CHAT_ALLOWED_MODELS; with `has_cloud`, those of Ollama's cloud among them.

    Names are compared as Ollama does (`llm.is_same`).
    """

    names: Sequence[str]
    has_cloud: bool

    def check(self, model: str) -> None:
        """Raise InvalidJob for a model that a job may not name."""
        if ANY_MODEL not in self.names and not is_installed(model, self.names):
            more = f" and {len(self.names) - SHOWN} more" if len(self.names) > SHOWN else ""
            raise InvalidJob(
                f"a job may not choose the model {model}: allowed are "
                f"{', '.join(self.names[:SHOWN])}{more} (CHAT_ALLOWED_MODELS)"
            )
        if is_cloud(model) and not self.has_cloud:
            raise InvalidJob(
                f"a job may not choose the model {model}: it runs in Ollama's cloud, outside "
                "your network (CHAT_CLOUD_MODELS=true allows it)"
            )
