"""Every setting, as .env.example and docs/operations.md show it: made from the settings classes.

`python -m deploy.reference` writes both anew, and docs/metrics.md;
tests/unit/structure/test_deployment.py holds them to the code.
"""

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from agents import AgentSettings
from deploy.metrics_document import METRICS, metrics_document
from gateway.settings import GatewaySettings
from llm import LLMSettings
from memory import MemorySettings
from memory.settings import AuditSettings
from tasks.limits import LimitSettings
from tasks.settings import QueueSettings
from webhooks.settings import WebhookSettings
from worker.settings import MetricsSettings, WorkerSettings

ROOT = Path(__file__).resolve().parent.parent
ENV_EXAMPLE = ROOT / ".env.example"
OPERATIONS = ROOT / "docs" / "operations.md"
SECTIONS: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("Redis and the memory", MemorySettings),
    ("Audit", AuditSettings),
    ("Ollama", LLMSettings),
    ("Agents", AgentSettings),
    ("Queue, jobs and maintenance", QueueSettings),
    ("Limits of jobs", LimitSettings),
    ("Worker processes", WorkerSettings),
    ("Metrics", MetricsSettings),
    ("Gateway", GatewaySettings),
    ("Webhooks", WebhookSettings),
)
ENV_MARK = "# ---- every setting with its default; made by `python -m deploy.reference` ----\n"
TABLE_BEGIN, TABLE_END = "<!-- settings: made by deploy/reference.py -->\n", "<!-- /settings -->\n"


def named_fields(kind: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """A class's fields by the names that the environment knows them by, but for those that it has
    of the class of another section."""
    others = [other for _, other in SECTIONS if other is not kind and issubclass(kind, other)]
    shown = {name for other in others for name in other.model_fields}
    for field in (field for name, field in kind.model_fields.items() if name not in shown):
        if not isinstance(field.validation_alias, str):
            raise TypeError(f"a field of {kind.__name__} has no name in the environment")
        yield field.validation_alias, field


def default_text(field: FieldInfo) -> str:
    """The default as it would stand in `.env`; empty where there is none."""
    match field.default:
        case None | ():
            return ""
        case bool() as value:
            return str(value).lower()
        case float() as value:
            return f"{value:.15g}"
        case value:
            return str(value)


def allowed_text(field: FieldInfo) -> str:
    """What is allowed besides the type: a range, or the choices."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(str, get_args(field.annotation)))
    limits = [
        f"{sign} {getattr(rule, name):.15g}"
        for rule in field.metadata
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if hasattr(rule, name)
    ]
    return ", ".join(limits)


def env_text() -> str:
    """The part of .env.example that follows its mark."""
    lines = []
    for title, kind in SECTIONS:
        lines.append(f"\n# {title}\n")
        for name, field in named_fields(kind):
            described = fill(
                field.description or "", 98, initial_indent="# ", subsequent_indent="# "
            )
            lines.append(f"\n{described}\n# {name}={default_text(field)}\n")
    return "".join(lines)


def table_text() -> str:
    """The tables of docs/operations.md."""
    lines = []
    for title, kind in SECTIONS:
        lines.append(f"\n### {title}\n\n| Name | Default | Allowed | What |\n")
        lines.append("| --- | --- | --- | --- |\n")
        for name, field in named_fields(kind):
            default = default_text(field) and f"`{default_text(field)}`"
            what = f"{field.description}{' (secret)' if is_secret(field) else ''}"
            lines.append(f"| `{name}` | {default} | {allowed_text(field)} | {what} |\n")
    return "".join(lines) + "\n"


def is_secret(field: FieldInfo) -> bool:
    """Whether its value is never shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def env_example() -> str:
    """The whole of .env.example, its handwritten beginning kept."""
    head, _, _ = ENV_EXAMPLE.read_text().partition(ENV_MARK)
    return head + ENV_MARK + env_text()


def operations() -> str:
    """The whole of docs/operations.md, all but its tables kept."""
    head, _, rest = OPERATIONS.read_text().partition(TABLE_BEGIN)
    _, _, tail = rest.partition(TABLE_END)
    return head + TABLE_BEGIN + table_text() + TABLE_END + tail


def main() -> None:
    """Write all three files anew."""
    ENV_EXAMPLE.write_text(env_example())
    OPERATIONS.write_text(operations())
    METRICS.write_text(metrics_document())


if __name__ == "__main__":
    main()
