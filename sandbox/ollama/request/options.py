"""The options of a request: their types, and those with which a model is loaded. Pure.

docs/ollama.md, Requests and Loading.
"""

from dataclasses import dataclass

from sandbox.ollama.errors import Refused
from sandbox.ollama.gojson import JsonObject, JsonValue

LEAST_WINDOW_TOKENS = 4
"""A smaller `num_ctx` becomes this."""

_NUM_BATCH = 512

_INTEGERS = {
    *("num_keep", "seed", "num_predict", "top_k", "repeat_last_n"),
    *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict"),
}
_FLOATS = {
    *("top_p", "min_p", "typical_p", "temperature"),
    *("repeat_penalty", "presence_penalty", "frequency_penalty"),
}


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """With what a model is to be loaded or runs, as on a CPU; -1 leaves the choice to Ollama."""

    window_tokens: int
    is_window_asked_for: bool = False
    num_batch: int | None = None
    """None: what Ollama chooses fits every request that says nothing; it runs with 512."""
    num_gpu: int = -1
    main_gpu: int | None = None
    """None is not 0: to say it loads the model anew."""
    use_mmap: bool = False
    num_thread: int = 0
    draft_num_predict: int = 0
    shift: bool = True

    def must_reload_for(self, wanted: "LoadOptions") -> bool:
        """Whether a model that runs with these is loaded anew for `wanted`: values count, not who
        said them, and what is left to Ollama fits all."""
        is_automatic = not (self.is_window_asked_for or wanted.is_window_asked_for)
        return (
            (self.window_tokens != wanted.window_tokens and not is_automatic)
            or wanted.num_batch not in (None, self.num_batch or _NUM_BATCH)
            or (wanted.num_gpu >= 0 and wanted.num_gpu != self.num_gpu)
            or self.main_gpu != wanted.main_gpu
            or self.use_mmap != wanted.use_mmap
            or self.num_thread != wanted.num_thread
            or self.draft_num_predict != wanted.draft_num_predict
            or self.shift != wanted.shift
        )


def load_options(
    options: JsonObject, *, shift: bool, window_tokens: int, trained_tokens: int
) -> LoadOptions:
    """What the request asks for, or the model's own `window_tokens`. Call after check_options."""
    asked = integer(options, "num_ctx")
    window = max(LEAST_WINDOW_TOKENS, window_tokens if asked is None else asked)
    num_gpu = integer(options, "num_gpu")
    return LoadOptions(
        window_tokens=min(window, trained_tokens),
        is_window_asked_for=asked is not None,
        num_batch=integer(options, "num_batch") or None,
        num_gpu=-1 if num_gpu is None else num_gpu,
        main_gpu=integer(options, "main_gpu"),
        use_mmap=options.get("use_mmap") is True,
        num_thread=integer(options, "num_thread") or 0,
        draft_num_predict=integer(options, "draft_num_predict") or 0,
        shift=shift,
    )


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
