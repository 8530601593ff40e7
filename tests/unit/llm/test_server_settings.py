"""The file of servers: what it may hold, and what is said of a wrong one."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from llm import LLMSettings

GOOD = """
[[server]]
url = "http://gpu1:11434"
slots = 4

[[server]]
url = "https://vllm.example.org/v1/"
dialect = "openai"
key_file = "{key_file}"
headers = {{ X-Team = "griot" }}
slots = 64
window = 16384
"""


def settings_of(path: Path) -> LLMSettings:
    """The settings with this file."""
    return LLMSettings(_env_file=None, entries=str(path), num_parallel=2)  # type: ignore[arg-type]  # read from the file


def test_each_server_has_its_own(tmp_path: Path) -> None:
    """Dialect, key, headers, slots, window."""
    key = tmp_path / "key"
    key.write_text("secret-of-vllm\n")
    path = tmp_path / "servers.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.format(key_file=key).encode())
    settings = settings_of(path)
    assert settings.servers == ("http://gpu1:11434", "https://vllm.example.org/v1")
    first, second = map(settings.at, settings.servers)
    assert (first.dialect, first.headers, first.parallel_calls("m")) == ("ollama", {}, 4)
    assert second.dialect == "openai"
    assert second.headers == {"X-Team": "griot", "Authorization": "Bearer secret-of-vllm"}
    assert (second.parallel_calls("m"), second.window_tokens("m")) == (64, 16384)
    assert "secret-of-vllm" not in repr(settings) + repr(second)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[server]]\n", "server.0.url"),
        ("", "server"),
        ("server = 7", "server"),
        ('[[server]]\nurl = "gpu1"', "server.0.url"),
        ('[[server]]\nurl = "http://a"\nkey = "hidden"\nkey_file = "/x"', "not both"),
        ('[[server]]\nurl = "http://a"\nkey_file = "/nowhere"', "key_file cannot be read"),
        ('[[server]]\nurl = "http://a"\nkey = "hid den"', "without blanks"),
        ('[[server]]\nurl = "http://a"\npassword = "hidden"', "server.0.password"),
        ('[[server]]\nurl = "http://a"\ndialect = "hidden"', "server.0.dialect"),
        ('[[server]]\nurl = "http://a"\nslots = 0', "server.0.slots"),
        ('[[server]]\nurl = "http://a"\n' * 2, "no TOML|named twice"),
        ('[[server]]\nurl = "http://a"\n\n[[server]]\nurl = "http://a/"', "named twice"),
        ("[[server]", "not TOML"),
    ],
)
def test_what_is_wrong_is_named_and_no_value_repeated(tmp_path: Path, text: str, said: str) -> None:
    """It may be a key."""
    path = tmp_path / "servers.toml"
    path.write_text(text)
    with pytest.raises(ValidationError, match=said) as caught:
        settings_of(path)
    assert "hidden" not in str(caught.value)
    assert "hid den" not in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """Or is in another encoding."""
    with pytest.raises(ValidationError, match=r"nowhere\.toml cannot be read"):
        settings_of(tmp_path / "nowhere.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes("# caf\u00e9".encode("latin-1"))
    with pytest.raises(ValidationError, match="not UTF-8"):
        settings_of(path)
