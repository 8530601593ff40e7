"""What Ollama refuses, in its order: before it looks for a runner, and at the runner. Pure.

docs/ollama.md, Order of checks.
"""

import json

from sandbox.ollama import gojson, refusals
from sandbox.ollama.gojson import JsonObject
from sandbox.ollama.request.bodies import ModelRequest
from sandbox.ollama.request.grammar import complaint
from sandbox.ollama.request.images import is_readable
from sandbox.ollama.request.options import check_options
from sandbox.ollama.request.roles import ends_with_two_answers, objection
from sandbox.ollama.scenarios import Scenario, Template


def check_abilities(asked: ModelRequest, scenario: Scenario, verb: str) -> None:
    """Before a load: what the model cannot do (400), then options of a wrong type (500).

    A request that only loads the model passes the same.
    """
    if asked.think and not scenario.can_think:
        raise refusals.no_thinking(asked.model)
    if not scenario.can_chat:
        raise refusals.no_chat(asked.model, verb)
    if asked.tools and not scenario.has_tools:
        raise refusals.no_tools(asked.model)
    check_options(asked.options)


def check_at_runner(asked: ModelRequest, scenario: Scenario) -> None:
    """Once the request has a slot: format, then what llama-server makes of messages and schema."""
    form = asked.response_format
    if form not in (None, "", "json") and not isinstance(form, dict):
        raise refusals.bad_format(json.dumps(gojson.encode(form), ensure_ascii=False))
    if scenario.is_native:
        _check_tools(asked)
    _check_images(asked, scenario)
    if scenario.is_native:
        _check_roles(asked, scenario)
    if isinstance(form, dict) and (found := complaint(form)):
        raise refusals.bad_schema(found, is_native=scenario.is_native)


def _check_tools(asked: ModelRequest) -> None:
    for tool in asked.tools:
        if tool.kind != "function":
            raise refusals.bad_tool_kind(tool.kind)
    if asked.logprobs and asked.tools and asked.stream:
        raise refusals.no_logprobs()


def _check_roles(asked: ModelRequest, scenario: Scenario) -> None:
    # To see what has to be cut Ollama has the template filled in before the stream begins.
    late = not asked.truncate
    if ends_with_two_answers(asked.messages):
        raise refusals.two_answers(late=late)
    if scenario.template is not Template.NATIVE and (raised := objection(asked.messages)):
        is_specialised = scenario.template is Template.STRICT_SPECIALISED
        raise refusals.bad_template(raised, is_specialised=is_specialised, late=late)


def _check_images(asked: ModelRequest, scenario: Scenario) -> None:
    images = [image for message in asked.messages for image in _images(message)]
    if images and not scenario.can_see:
        raise refusals.no_vision(is_native=scenario.is_native)
    if not all(map(is_readable, images)):
        raise refusals.bad_image()


def _images(message: JsonObject) -> list[str]:
    images = message.get("images")
    return [image for image in images if isinstance(image, str)] if isinstance(images, list) else []
