"""Values that hypothesis makes up: what strangers may put anywhere, and options of jobs."""

from collections.abc import Mapping

from hypothesis import strategies as st

from tests.support.faults.sender import AGENT_ID
from tests.support.odd.schemas import ODD_SCHEMAS

texts = st.sampled_from(["", "a", "nul\0", "line\nline", "\ud800", "😀", "{x}", "*", "a:b"])
texts = texts | st.text(max_size=20) | st.sampled_from([600, 70_000]).map(lambda size: "x" * size)
numbers = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([1e308, 2**63, -1, 0])
plain = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


def nested(levels: int, core: object) -> object:
    """So many lists and objects within each other."""
    for level in range(levels):
        core = [core] if level % 2 else {"a": core}
    return core


deep = st.builds(nested, st.sampled_from([10, 60, 70, 130, 300]), plain)
anything = values | deep
ids = st.sampled_from(["fuzz-1", "fuzz-2", "a:b", "{x}", "new\nline", "*"]) | texts

schemas = st.sampled_from(list(ODD_SCHEMAS.values())) | st.dictionaries(
    st.sampled_from(["type", "items", "anyOf", "$ref", "pattern", "enum", "properties", "$defs"]),
    values,
    max_size=4,
)
functions = st.fixed_dictionaries(
    {"name": st.sampled_from(["f", "look_up"]) | texts},
    optional={
        "description": anything,
        "parameters": schemas | st.fixed_dictionaries({"properties": st.just({"a": {}}) | values}),
        "strict": st.booleans() | anything,
    },
)
moments = anything | st.sampled_from(
    [0, 1e12, -1.0, "2026-11-26T10:00:00", "2026-11-26T10:00:00Z", "9999-12-31T23:59:59-23:59"]
)
OPTIONS: Mapping[str, st.SearchStrategy[object]] = {
    "system_prompt": anything,
    "model": st.sampled_from(["instant", "bad-400", "missing", "x:cloud"]) | anything,
    "temperature": anything,
    "max_tokens": anything,
    "max_history": anything,
    "images": st.just(["iVBORw0KGgo="]) | st.lists(texts, max_size=6) | anything,
    "format": st.just("json") | schemas | anything,
    "think": anything,
    "tools": st.lists(texts, max_size=3) | st.integers(127, 130).map(["a"].__mul__) | anything,
    "idempotency_key": anything,
    "on_busy": st.sampled_from(["enqueue", "reject", "interrupt", "rollback", "merge"]) | anything,
    "metadata": st.fixed_dictionaries({"user_id": anything}) | anything,
    "mesage": anything,
    "functions": st.lists(functions, max_size=4) | anything,
    "not_before": moments,
    "webhook": st.sampled_from(["https://a.example/x", "http://127.0.0.1:1/", "ftp://x"])
    | anything,
    "top_p": anything,
    "seed": anything,
    "stop": st.lists(texts, max_size=6) | anything,
    "presence_penalty": anything,
}
options = st.lists(st.sampled_from(sorted(OPTIONS)), max_size=4, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: OPTIONS[name] for name in names})
)
crons = texts | st.sampled_from(
    [
        "* * * * *",
        "0 0 29 2 0",
        "*/0 * * * *",
        "60 * * * *",
        "* * 31 2 *",
        "1-99999999 * * * *",
        "@daily",
    ]
)
rhythms = st.fixed_dictionaries(
    {},
    optional={
        "cron": crons | anything,
        "every_s": st.sampled_from([0, 10, -1, 10**9]) | anything,
        "zone": st.sampled_from(["UTC", "Australia/Lord_Howe", "../etc/passwd", "/"]) | anything,
    },
)
kept_schedules = st.fixed_dictionaries(
    {
        "schedule_id": ids,
        "agent_id": st.just(AGENT_ID) | anything,
        "session_id": ids,
        "message": texts,
        "rhythm": rhythms | st.builds(lambda one: {**one, "begun_s": 2**70}, rhythms),
        "after_s": st.sampled_from([0, 1.7e9, 1e308, -1, float("nan")]) | anything,
    },
    optional={"options": options | anything, "is_paused": anything, "skipped": anything},
)
vectors = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["embedder", "ok", "missing", "busy-503"]) | texts,
        "texts": st.lists(texts, max_size=4) | st.just(["x"] * 200) | anything,
        "agent_id": ids | anything,
    },
    optional={"dimensions": st.sampled_from([0, 1, 2**40]) | anything, "user": anything},
)
