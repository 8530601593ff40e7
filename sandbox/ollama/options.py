"""The types of a request's `options`, checked as Ollama does (docs/ollama.md, Requests). Pure."""

from sandbox.ollama.errors import Refused
from sandbox.ollama.gojson import JsonObject, JsonValue

LOAD_TIME = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread")
"""Options whose change makes Ollama load the model anew (docs/ollama.md, Loading)."""

_INTEGERS = {
    *("num_keep", "seed", "num_predict", "top_k", "repeat_last_n"),
    *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict"),
}
_FLOATS = {
    *("top_p", "min_p", "typical_p", "temperature"),
    *("repeat_penalty", "presence_penalty", "frequency_penalty"),
}


def check_options(options: JsonObject) -> None:
    """Raise Refused (500) for a known option of a wrong type; unknown ones and null are ignored."""
    for name, value in options.items():
        if value is not None and (wanted := _wanted(name, value)):
            raise Refused(500, f'option "{name}" must be of {wanted}')


def _wanted(name: str, value: JsonValue) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _INTEGERS and not is_number:
        return "type integer"
    if name in _FLOATS and not is_number:
        return "type float32"
    if name == "use_mmap" and not isinstance(value, bool):
        return "type boolean"
    if name == "stop":
        return _wanted_of_stop(value)
    return ""


def _wanted_of_stop(value: JsonValue) -> str:
    if not isinstance(value, list):
        return "type array"
    return "" if all(isinstance(item, str) for item in value) else "an array of strings"


def integer(options: JsonObject, name: str) -> int | None:
    """The option `name` cut to an integer, None if absent. Call after check_options."""
    value = options.get(name)
    return int(value) if isinstance(value, int | float) else None


def check_format(value: JsonValue) -> None:
    """Raise Refused (500) unless `format` is absent, "", "json" or a schema object."""
    if value in (None, "", "json") or isinstance(value, dict):
        return
    raise Refused(500, f'invalid format: {value!r}; expected "json" or a valid JSON Schema object')
