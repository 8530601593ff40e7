"""What is known of the windows of models, and how counts are learned from."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm import UNLIMITED, ContextOverflowError, InvalidReplyError, LLMSettings, fit
from llm.context.budget import MAX_RATIO, MIN_RATIO
from llm.context.model_limits import (
    ASSUMED_FOR_S,
    FAILED_FOR_S,
    KNOWN_FOR_S,
    ContextWindow,
    ModelLimits,
)
from llm.wire.models import MOST_MODELS, Loaded, ModelDetails, RecentlyUsed, read_details


def limits(num_ctx: int | None = None) -> ModelLimits:
    """Of a server that has not answered yet."""
    return ModelLimits(LLMSettings(num_ctx=num_ctx))


def test_a_loaded_model_has_the_window_that_ps_reports() -> None:
    """And keeps it when it is unloaded, for it will be loaded with the same again."""
    known = limits()
    known.note_loaded("m", Loaded("m:latest", 8192), 0)
    assert known.window("m") == ContextWindow(8192, is_known=True)
    known.note_loaded("m", None, 100)
    assert known.window("m") == ContextWindow(8192, is_known=True)
    known.note_refusal("m", fit([], [], [], UNLIMITED), ContextOverflowError("", n_ctx=2048), 100)
    assert known.window("m") == ContextWindow(2048, is_known=True)


def test_the_setting_holds_for_a_model_that_is_not_loaded_or_loaded_otherwise() -> None:
    """Ollama loads it anew; but not with more than it was trained for."""
    known = limits(num_ctx=8192)
    assert known.window("m") == ContextWindow(8192, is_known=True)
    known.note_details("m", ModelDetails(trained_tokens=2048))
    assert known.window("m") == ContextWindow(2048, is_known=True)
    known.note_details("m", ModelDetails(trained_tokens=65_536))
    known.note_loaded("m", Loaded("m:latest", 32_768), 0)
    assert known.window("m") == ContextWindow(8192, is_known=True)


def test_a_window_is_never_longer_than_what_the_model_was_trained_for() -> None:
    """v0.13 reports what was asked for, and loads the model with less."""
    known = limits(num_ctx=65_536)
    known.note_loaded("m", Loaded("m:latest", 65_536), 0)
    known.note_details("m", ModelDetails(trained_tokens=32_768))
    assert known.window("m") == ContextWindow(32_768, is_known=True)


def test_a_model_that_no_server_loads_has_the_window_it_was_trained_for() -> None:
    """It stands in no /api/ps; and no reply of it runs past a window that we know of."""
    known = limits()
    known.note_details("m", ModelDetails(trained_tokens=131_072))
    known.note_elsewhere("m", 0)
    assert known.window("m") == ContextWindow(131_072, is_known=True, is_loaded_here=False)
    assert known.budget("m", None).left_after(1000) is None
    assert not known.is_due("m", KNOWN_FOR_S - 0.1)


def test_a_modelfile_may_set_the_window() -> None:
    """Else it is an assumption, bounded by what the model was trained for."""
    known = limits()
    assert known.window("m") == ContextWindow(4096, is_known=False)
    known.note_details("m", ModelDetails(trained_tokens=1024))
    assert known.window("m") == ContextWindow(1024, is_known=False)
    known.note_details("m", ModelDetails(trained_tokens=131_072, num_ctx=16_384))
    assert known.window("m") == ContextWindow(16_384, is_known=True)


def test_a_server_is_asked_again_after_a_while() -> None:
    """Soon where the model was not loaded, and less soon where the server failed."""
    known = limits()
    assert known.is_due("m", 0)
    known.note_loaded("m", None, 0)
    assert not known.is_due("m", ASSUMED_FOR_S - 0.1)
    assert known.is_due("m", ASSUMED_FOR_S)
    known.note_loaded("m", Loaded("m:latest", 8192), 0)
    assert not known.is_due("m", KNOWN_FOR_S - 0.1)
    known.note_failure("m", 0)
    assert not known.is_due("m", FAILED_FOR_S - 0.1)
    assert known.is_due("m", FAILED_FOR_S)
    known.doubt("m")
    assert known.is_due("m", 0)


def test_answers_of_ollama_are_read() -> None:
    """Leniently: what is not there is not known."""
    info = {"general.architecture": "qwen2", "qwen2.context_length": 32_768}
    parameters = "stop    <|end|>\nnum_ctx                        8192\ntemperature 0.5"
    body = orjson.dumps({"model_info": info, "parameters": parameters, "capabilities": ["tools"]})
    assert read_details(body) == ModelDetails(32_768, 8192, frozenset({"tools"}))
    assert read_details(b"{}") == ModelDetails()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model_info":3}', b"<html>"])
def test_what_is_no_answer_of_ollama_is_an_error(body: bytes) -> None:
    """One that a caller can catch."""
    with pytest.raises(InvalidReplyError):
        read_details(body)


def test_a_version_that_never_reports_a_window_is_remembered() -> None:
    """It is not worth loading a model to learn its window there."""
    known = limits()
    assert known.reports_window("m")
    known.note_loaded("m", Loaded("m:latest", 0), 0)
    assert not known.reports_window("m")
    assert not known.window("m").is_known


def test_the_first_count_is_taken_as_it_is_and_later_ones_in_part() -> None:
    """Upwards faster than downwards: too low an estimate costs a refused call."""
    known = limits()
    assert known.ratio("m") == 1
    known.note_count("m", 1000, 2000)
    assert known.ratio("m") == 2
    known.note_count("m", 1000, 3000)
    assert known.ratio("m") == pytest.approx(2.3)
    known.note_count("m", 1000, 1300)
    assert known.ratio("m") == pytest.approx(2.2)
    assert known.ratio("other") == 1


@pytest.mark.parametrize(("plain", "counted"), [(1000, 0), (1000, 499), (20, 90), (90, 20)])
def test_counts_that_say_nothing_are_passed_over(plain: int, counted: int) -> None:
    """Left out, cut, taken from the cache, or of mere template."""
    known = limits()
    known.note_count("m", plain, counted)
    assert known.ratio("m") == 1


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**9)), max_size=50))
def test_the_ratio_stays_within_reason(counts: list[tuple[float, int]]) -> None:
    """Whatever a server says."""
    known = limits()
    for plain, counted in counts:
        known.note_count("m", plain, counted)
    assert MIN_RATIO <= known.ratio("m") <= MAX_RATIO


def test_models_without_end_do_not_fill_the_memory() -> None:
    """The one written longest ago goes first."""
    kept: RecentlyUsed[int] = RecentlyUsed()
    for number in range(MOST_MODELS + 5):
        kept[f"m{number}"] = number
        kept["always"] = number
    assert len(kept) == MOST_MODELS
    assert "always" in kept
    assert "m0" not in kept


def test_images_teach_their_own_cost_and_leave_the_words_alone() -> None:
    """Else a session with images would spoil the estimate of all others."""
    known = limits()
    shown = [{"role": "user", "content": "x" * 400, "images": ["aGk=", "aGk="]}]
    fitting = fit([], [], shown, known.budget("m", 100))
    known.learn("m", fitting, round(fitting.text_tokens) + 2 * 1300)
    assert known.ratio("m") == 1
    assert known.image_tokens("m") == pytest.approx(1300, abs=1)
    assert known.budget("m", 100).image_tokens == known.image_tokens("m")
    known.learn("m", fitting, 30)
    assert known.image_tokens("m") == pytest.approx(1300, abs=1), "less than its words: the cache"


def test_a_model_of_qwens_counts_at_least_a_thousand_for_an_image() -> None:
    """Before any count of it is known; others what Ollama reckons."""
    known = limits()
    assert known.image_tokens("m") == 768
    info = {"general.architecture": "qwen25vl"}
    known.note_details("m", read_details(orjson.dumps({"model_info": info})))
    assert known.image_tokens("m") == 1024


def test_names_of_one_model_share_what_is_known() -> None:
    """However they are written."""
    known = limits()
    known.note_loaded("Library/M", Loaded("m:latest", 8192), 0)
    for name in ("m", "M:LATEST", "registry.ollama.ai/library/m", "m:local"):
        assert known.window(name).tokens == 8192
