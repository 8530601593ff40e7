"""What a model reads of a tool's parameters, after Ollama has dropped most of JSON Schema."""

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from agents.tools import Tool

KEPT = {"type", "items", "description", "enum", "anyOf", "properties", "required"}
"""Of a parameter (api/types.go, ToolProperty)."""


class Solar(BaseModel):
    """A plant."""

    kind: Literal["solar"]
    panels: Annotated[int, Field(ge=1)]


class Wind(BaseModel):
    """Another."""

    kind: Literal["wind"]
    height_m: float = 80.0


class Unit(Enum):
    """Of power."""

    MW = "MW"
    GW = "GW"


def build(
    *,
    country: Annotated[str, Field(description="ISO code", min_length=2, max_length=2)],
    plant: Annotated[Solar | Wind, Field(discriminator="kind")],
    source: Literal["all"] = "all",
    share: Annotated[float, Field(gt=0, lt=1, multiple_of=0.5)] = 0.5,
    code: Annotated[str, Field(pattern="^[A-Z]+$")] = "A",
    unit: Unit = Unit.MW,
    costs: dict[str, int] | None = None,
    place: tuple[float, float] = (0.0, 0.0),
    tags: Annotated[set[str], Field(min_length=1)] = frozenset(),  # type: ignore[assignment]  # a default of any kind
) -> str:
    """Build a plant."""
    return ""


def kept(schema: Any) -> Any:
    """What Ollama hands on of a parameter; the values of `items` stay as they are."""
    if not isinstance(schema, dict):
        return schema
    left = {name: part for name, part in schema.items() if name in KEPT}
    if "properties" in left:
        left["properties"] = {name: kept(part) for name, part in left["properties"].items()}
    if "anyOf" in left:
        left["anyOf"] = [kept(part) for part in left["anyOf"]]
    return left


@pytest.fixture
def told() -> dict[str, Any]:
    """Each parameter as the model reads it."""
    parameters: Any = Tool(build, timeout_s=1, max_result_bytes=100).definition["function"]
    properties: dict[str, Any] = kept(parameters["parameters"])["properties"]
    return properties


def test_bounds_patterns_and_defaults_are_in_the_description(told: dict[str, Any]) -> None:
    """Behind the parameter's own words."""
    assert (
        told["country"]["description"] == "ISO code (at least 2 characters; at most 2 characters)"
    )
    share = "more than 0; less than 1; a multiple of 0.5; default 0.5"
    assert told["share"]["description"] == share
    assert told["code"]["description"] == "matching the regular expression ^[A-Z]+$; default A"
    assert "at least 1 items" in told["tags"]["description"]
    assert "no item twice" in told["tags"]["description"]


def test_a_single_value_is_an_enum_and_a_choice_is_any_of(told: dict[str, Any]) -> None:
    """With the marks that tell the choices apart."""
    assert told["source"]["enum"] == ["all"]
    solar, wind = told["plant"]["anyOf"]
    assert solar["properties"]["kind"]["enum"] == ["solar"]
    assert solar["properties"]["panels"]["description"] == "at least 1"
    assert wind["properties"]["kind"]["enum"] == ["wind"]
    assert wind["properties"]["height_m"]["description"] == "default 80.0"
    assert told["unit"]["enum"] == ["MW", "GW"]
    assert "default MW" in told["unit"]["description"]


def test_maps_and_tuples_say_what_is_in_them(told: dict[str, Any]) -> None:
    """Ollama knows only lists of one kind."""
    values = "an object whose values are: integer"
    assert any(values in part.get("description", "") for part in told["costs"]["anyOf"])
    assert "the items are, in order: number, number" in told["place"]["description"]
    assert "default [0.0,0.0]" in told["place"]["description"]


def test_a_parameter_may_be_called_like_a_keyword() -> None:
    """`properties` holds names, not keywords."""

    def called(default: int, const: str, oneOf: bool) -> str:  # the name matters
        """Odd names."""
        return ""

    parameters: Any = Tool(called, timeout_s=1, max_result_bytes=100).definition["function"]
    properties = parameters["parameters"]["properties"]
    assert {name: part["type"] for name, part in properties.items()} == {
        "default": "integer",
        "const": "string",
        "oneOf": "boolean",
    }
