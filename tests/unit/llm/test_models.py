"""What an Ollama says of its models, and how their names are compared."""

import orjson
import pytest

from llm import InvalidReplyError, is_cloud, is_installed, is_same
from llm.wire.models import Loaded, find_loaded, full_name, read_details, read_loaded

WEIGHTS = "sha256-" + "a5" * 32


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("gemma", "gemma:latest"),
        ("GEMMA:Latest", "gemma:latest"),
        ("library/gemma", "gemma:latest"),
        ("registry.ollama.ai/library/Gemma:7B", "gemma:7b"),
        ("registry.ollama.ai/me/gemma", "me/gemma:latest"),
        ("gemma:local", "gemma:latest"),
        ("gemma:7b:local", "gemma:7b"),
        ("hf.co/Me/Repo-GGUF:Q4_K_M", "hf.co/me/repo-gguf:q4_k_m"),
        ("host:5000/me/gemma", "host:5000/me/gemma:latest"),
        ("gpt-oss:120b:cloud", "gpt-oss:120b-cloud"),
    ],
)
def test_each_model_has_one_name(name: str, full: str) -> None:
    """In whatever way that Ollama takes it is written."""
    assert full_name(name) == full
    assert full_name(full) == full
    assert is_same(name, full)
    assert is_installed(name, ("other:1b", full.upper()))


@pytest.mark.parametrize(
    ("one", "other"),
    [("gemma", "gemma:7b"), ("me/gemma", "gemma"), ("hf.co/me/x", "me/x"), ("a/library/x", "a/x")],
)
def test_other_models_have_other_names(one: str, other: str) -> None:
    """Another tag, namespace or host is another model."""
    assert not is_same(one, other)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("gpt-oss:120b-cloud", True),
        ("kimi-k2:CLOUD", True),
        ("gpt-oss:120b:cloud", True),
        ("cloud", False),
        ("my-cloud", False),
        ("host:5000/my-cloud/x", False),
    ],
)
def test_models_of_the_cloud_are_known_by_their_tag(name: str, is_one: bool) -> None:
    """`cloud`, or anything that ends in it."""
    assert is_cloud(name) is is_one


def test_when_a_model_is_dropped_is_read() -> None:
    """As Go writes a time, in any zone; a time that is none is not known."""
    entries = [
        {
            "name": "a:latest",
            "context_length": 4096,
            "expires_at": "2026-01-01T00:00:00.123456789Z",
        },
        {"name": "b:latest", "expires_at": "2318-01-01T01:00:00+01:00"},
        {"name": "c:latest", "expires_at": "soon"},
        {"name": "d:latest", "expires_at": 7},
    ]
    loaded = read_loaded(orjson.dumps({"models": entries}), base_url="http://x")
    assert loaded[0] == Loaded("a:latest", 4096, pytest.approx(1_767_225_600.123456))
    assert loaded[1].expires_s == pytest.approx(10_982_044_800, abs=366 * 86_400)
    assert [one.expires_s for one in loaded[2:]] == [None, None]
    with pytest.raises(InvalidReplyError):
        read_loaded(b'{"models":[{"name":7}]}', base_url="http://x")


def test_the_weights_of_a_model_and_who_answers_for_it_are_read() -> None:
    """From the text of its Modelfile, and from the fields of a remote one."""
    modelfile = f"# Modelfile\n# FROM x:latest\n\nFROM /root/blobs/{WEIGHTS}\nTEMPLATE x"
    assert read_details(orjson.dumps({"modelfile": modelfile})).weights == WEIGHTS
    assert read_details(orjson.dumps({"modelfile": "FROM x:latest"})).weights is None
    assert read_details(b'{"remote_model":"x","remote_host":"https://ollama.com"}').is_remote


def test_an_alias_is_in_memory_where_its_weights_are() -> None:
    """/api/ps has only the name that loaded them."""
    loaded = [Loaded("Gemma:latest", 4096), Loaded("other:latest", 8192)]
    weights = {"gemma:latest": WEIGHTS, "alias:latest": WEIGHTS, "blank:latest": ""}
    assert find_loaded("library/GEMMA", loaded, {}) is loaded[0]
    assert find_loaded("alias", loaded, weights) is loaded[0]
    assert find_loaded("alias", loaded, {}) is None
    assert find_loaded("blank", loaded, {**weights, "other:latest": ""}) is None
