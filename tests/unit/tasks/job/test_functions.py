"""Functions of a client: what a job may bring costs the loop that reads it little."""

import time
from collections.abc import Mapping, Sequence

import orjson
import pytest
from pydantic import JsonValue

from tasks.errors import InvalidJob
from tasks.job.functions import (
    MAX_FUNCTIONS_BYTES,
    MAX_LOAD,
    PART,
    FunctionTool,
    check_functions,
)

MOST_S = 0.05
MOST_FUNCTIONS = 128
Schema = dict[str, JsonValue]


def of(inner: Mapping[str, JsonValue], **more: JsonValue) -> Schema:
    """The schema of an object with one property."""
    return {"type": "object", "properties": {"a": dict(inner)}, **more}


def referring(references: int, parts: int) -> Schema:
    """A schema that is short, and long with its references written out."""
    inner: JsonValue = {"properties": {str(number): {} for number in range(parts)}}
    outer: JsonValue = {str(number): {"$ref": "#/$defs/x"} for number in range(references)}
    return {"type": "object", "properties": outer, "$defs": {"x": inner}}


def choices(values: int) -> Schema:
    """A schema with so many values."""
    return of({"enum": [*range(values)]})


def functions(*parameters: Schema) -> Sequence[FunctionTool]:
    """Functions with these parameters."""
    return [FunctionTool(name=f"f{n}", parameters=one) for n, one in enumerate(parameters)]


PARTS = MAX_LOAD // PART
COUNTED = of({"pattern": "^(a{1,500}){1,40}$"})
HALF = of({"anyOf": [{"not": {}}] * (PARTS // 4 - 10)})
TOO_HEAVY: Mapping[str, Sequence[Schema]] = {
    "many parts": [HALF, HALF, HALF],
    "references": [referring(80, 120)],
    "references of many": [referring(20, 20)] * 41,
    "values": [referring(70, 0) | {"$defs": {"x": {"enum": [*range(1000)]}}}],
    "patterns": [COUNTED] * 6,
    "patterns and parts": [HALF, COUNTED, COUNTED, COUNTED],
}
HEAVY: Mapping[str, Sequence[Schema]] = {
    "parts": [HALF, HALF],
    "patterns": [COUNTED] * 4,
    "references": [referring(30, 100)],
    "values": [choices(5000)] * 4,
    "functions": [{"properties": {f"p{n}": {"type": "string"} for n in range(28)}}]
    * MOST_FUNCTIONS,
}


@pytest.mark.parametrize("what", TOO_HEAVY)
def test_functions_that_are_too_heavy_together_are_refused(what: str) -> None:
    """Each may be well by itself. They are weighed, not tried: hundreds of milliseconds else."""
    given = functions(*TOO_HEAVY[what])
    began_s = time.thread_time()
    with pytest.raises(InvalidJob, match=r"functions\.\d+\.parameters: with those before"):
        check_functions(given)
    assert time.thread_time() - began_s < MOST_S


@pytest.mark.parametrize("what", HEAVY)
def test_what_is_allowed_is_checked_and_offered_in_a_moment(what: str) -> None:
    """A worker does both on the loop of all turns, one after the other. Of three tries the least
    counts, each with functions of its own: a neighbour makes one dearer."""
    checking, offering = list[float](), list[float]()
    for _ in range(3):
        given = functions(*HEAVY[what])
        began_s = time.thread_time()
        check_functions(given)
        checked_s = time.thread_time()
        offered = [one.as_offered for one in given]
        offering.append(time.thread_time() - checked_s)
        checking.append(checked_s - began_s)
        assert len(offered) == len(given)
    assert min(checking) < MOST_S
    assert min(offering) < MOST_S


def test_all_functions_of_a_job_have_their_bytes_together() -> None:
    """To the byte: their words weigh nothing, and a model is shown them all."""
    two = [FunctionTool(name=name, description="") for name in ("a", "b")]
    empty_bytes = sum(len(orjson.dumps(one.model_dump())) for one in two)
    words = "x" * ((MAX_FUNCTIONS_BYTES - empty_bytes) // 2)
    rest = "x" * (MAX_FUNCTIONS_BYTES - empty_bytes - len(words))
    fits = [FunctionTool(name="a", description=words), FunctionTool(name="b", description=rest)]
    check_functions(fits)
    over = [fits[0], FunctionTool(name="b", description=rest + "x")]
    with pytest.raises(InvalidJob, match=f"at most {MAX_FUNCTIONS_BYTES} are allowed"):
        check_functions(over)
