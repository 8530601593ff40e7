"""The settings of llm: names, defaults, bounds."""

import ssl
from pathlib import Path

import pytest
from pydantic import ValidationError

from llm import LLMSettings
from llm.wire.address import ssl_context_for

NAMES = [str(field.validation_alias) for field in LLMSettings.model_fields.values()]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of this machine and no .env file plays a part."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_documented_defaults() -> None:
    """docs/services.md shows them."""
    settings = LLMSettings()
    assert settings.base_url == "http://localhost:11434"
    assert settings.model == "qwen2.5:0.5b"
    assert settings.temperature == 0.7
    assert settings.timeouts.idle_s == 30
    assert settings.timeouts.first_token_s == 120


def test_every_setting_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Under its documented name."""
    servers = "".join(
        f'[[server]]\nurl = "{url}"\n' for url in ("http://a:11434", "https://b:11434")
    )
    (tmp_path / "servers.toml").write_text(servers)
    values = {
        "OLLAMA_BASE_URL": "https://ollama.internal:8443/",
        "OLLAMA_BASE_URLS": "http://a:11434, https://b:11434/ ,",
        "OLLAMA_SERVERS": "servers.toml",
        "OLLAMA_DIALECT": "openai",
        "OLLAMA_API_KEY": " key-of-the-test ",
        "OLLAMA_HEADERS": "X-Team=griot, X-Key=a=b",
        "OLLAMA_SHARED": "false",
        "OLLAMA_MODEL": "Llama3.2:1b",
        "OLLAMA_CONTEXT_LENGTH": "2048",
        "LLM_TEMPERATURE": "0",
        "LLM_TIMEOUT": "0.5",
        "LLM_CONNECT_TIMEOUT": "1.5",
        "LLM_FIRST_TOKEN_TIMEOUT": "2.5",
        "LLM_TOTAL_TIMEOUT": "3.5",
        "LLM_LOAD_TIMEOUT": "4.5",
        "OLLAMA_PULL_MISSING": "true",
        "OLLAMA_PULL_TIMEOUT": "7",
        "LLM_KEEP_WARM": "60",
        "LLM_MAX_RESPONSE_BYTES": "2048",
        "LLM_THINK_TAGS": "true",
        "LLM_KEEP_ALIVE": "1h30m",
        "LLM_NUM_CTX": "8192",
        "LLM_NUM_CTX_BY_MODEL": "qwen3:8b=32768, llama3.2=4096",
        "LLM_NUM_PREDICT": "64",
        "LLM_NUM_PREDICT_BY_MODEL": "qwen3:8b=2048",
        "OLLAMA_NUM_PARALLEL": "4",
        "OLLAMA_NUM_PARALLEL_BY_MODEL": "qwen3-vl:8b=1, llama3.2 = 8,",
    }
    assert sorted(values) == sorted(NAMES)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = LLMSettings()
    assert settings.base_url == "https://ollama.internal:8443"
    assert settings.servers == ("http://a:11434", "https://b:11434")
    assert settings.headers == {
        "X-Team": "griot",
        "X-Key": "a=b",
        "Authorization": "Bearer key-of-the-test",
    }
    assert not settings.shared
    assert settings.dialect == "openai"
    assert settings.base_urls == settings.servers
    assert settings.model == "Llama3.2:1b"
    limits = settings.timeouts
    assert (limits.idle_s, limits.connect_s) == (0.5, 1.5)
    assert (limits.first_token_s, limits.total_s) == (2.5, 3.5)
    assert (settings.load_timeout_s, settings.keep_warm_s) == (4.5, 60)
    assert (settings.pull_missing, settings.pull_timeout_s) == (True, 7)
    assert (settings.max_response_bytes, settings.keep_alive) == (2048, "1h30m")
    assert (settings.num_ctx, settings.num_predict) == (8192, 64)
    assert settings.assumed_window_tokens == 2048
    models = ("qwen3:8b", "llama3.2:latest", "llama3.2:1b")
    assert [settings.window_tokens(model) for model in models] == [32_768, 4096, 8192]
    assert [settings.reply_tokens(model) for model in models] == [2048, 64, 64]
    assert settings.parallel_calls("any:1b") == 4
    assert settings.parallel_calls("qwen3-vl:8b") == 1
    assert settings.parallel_calls("llama3.2:latest") == 8


@pytest.mark.parametrize("number", [None, 0])
def test_calls_are_not_bounded_unless_somebody_says_how_many(number: int | None) -> None:
    """0 is Ollama's own word for: as you like. A model may have a bound of its own."""
    settings = LLMSettings(num_parallel=number)
    assert settings.parallel_calls("any") is None
    assert not settings.is_bounded
    one = LLMSettings(num_parallel=number, num_parallel_by_model="one=1")
    assert one.is_bounded
    assert (one.parallel_calls("one:latest"), one.parallel_calls("one:8b")) == (1, None)


@pytest.mark.parametrize("limits", ["one", "one=", "one=0", "=1", "one=x", "one=1025", "o e=1"])
def test_a_bound_of_a_model_is_a_name_and_a_number(limits: str) -> None:
    """What is wrong is named when the process starts."""
    with pytest.raises(ValidationError, match="OLLAMA_NUM_PARALLEL_BY_MODEL"):
        LLMSettings(OLLAMA_NUM_PARALLEL_BY_MODEL=limits)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("LLM_NUM_CTX_BY_MODEL", "one=255"),
        ("LLM_NUM_CTX_BY_MODEL", "one=4194305"),
        ("LLM_NUM_CTX_BY_MODEL", "one"),
        ("LLM_NUM_PREDICT_BY_MODEL", "one=0"),
        ("LLM_NUM_PREDICT_BY_MODEL", "one=1, two=x"),
    ],
)
def test_windows_and_replies_of_single_models_have_the_limits_of_all(
    name: str, numbers: str
) -> None:
    """Likewise."""
    with pytest.raises(ValidationError, match=name):
        LLMSettings(**{name: numbers})  # type: ignore[arg-type]  # by alias


def test_a_request_takes_what_is_set_for_its_model() -> None:
    """Before what is set for all; its own bound goes before both."""
    settings = LLMSettings(
        num_ctx=4096,
        num_ctx_by_model="wide=65536",
        num_predict=9,
        num_predict_by_model="wide:latest=99",
    )
    wide = settings.chat_request((), model="wide")
    assert (wide.options, wide.max_tokens) == ({"num_ctx": 65_536}, 99)
    other = settings.chat_request((), model="wide:1b")
    assert (other.options, other.max_tokens) == ({"num_ctx": 4096}, 9)
    assert settings.chat_request((), model="wide", max_tokens=3).max_tokens == 3


def test_a_dotenv_file_is_read_and_other_names_in_it_ignored(tmp_path: Path) -> None:
    """It is shared with the other packages."""
    (tmp_path / ".env").write_text("OLLAMA_MODEL=from-file\nREDIS_HOST=elsewhere\n")
    assert LLMSettings().model == "from-file"


@pytest.mark.parametrize("name", ["MODEL", "BASE_URL", "TEMPERATURE", "LLM_MODEL"])
def test_no_other_variable_is_mistaken_for_a_setting(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field's bare name in the environment belongs to someone else."""
    monkeypatch.setenv(name, "http://1.1.1.1:1")
    assert LLMSettings() == LLMSettings.model_construct()


@pytest.mark.parametrize(
    "url",
    [
        "localhost:11434",
        "ftp://localhost:11434",
        "http://",
        "http://user:secret@localhost:11434",
        "http://localhost:11434/api",
        "http://localhost:11434?x=1",
        "http://localhost:11434#x",
        "http://localhost:0",
        "http://localhost:65536",
        "http://localhost:port",
        "http://a b:1",
        "http://a\\@b:1",
        "",
    ],
)
def test_an_address_is_scheme_host_and_port_and_nothing_else(url: str) -> None:
    """And a wrong one is named without being shown, for it may hold a password."""
    with pytest.raises(ValidationError, match="OLLAMA_BASE_URL") as caught:
        LLMSettings(OLLAMA_BASE_URL=url)
    assert "secret" not in str(caught.value)


def test_one_address_is_the_form_for_one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several override it; an empty list is none."""
    one = LLMSettings(base_url="http://a:1")
    assert one.servers == ("http://a:1",)
    several = LLMSettings(base_url="http://a:1", base_urls=("http://b:1", "http://c:1"))
    assert several.servers == ("http://b:1", "http://c:1")
    assert several.at("http://c:1/").servers == ("http://c:1",)
    monkeypatch.setenv("OLLAMA_BASE_URLS", "")
    assert LLMSettings().servers == ("http://localhost:11434",)


@pytest.mark.parametrize(
    ("urls", "reason"),
    [
        ("http://a:1,http://user:secret@b:1", "no user"),
        ("http://a:1,b:1", "must be http"),
        ("http://a:1,http://a:1/", "named twice"),
        (",".join(f"http://a:{port}" for port in range(1, 34)), "at most 32"),
    ],
)
def test_each_of_several_addresses_is_checked(urls: str, reason: str) -> None:
    """By the same rule, and none is shown."""
    with pytest.raises(ValidationError, match=reason) as caught:
        LLMSettings(OLLAMA_BASE_URLS=urls)
    assert "OLLAMA_BASE_URLS" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1]:11434", "http://ollama", "HTTPS://Ollama:443/"])
def test_addresses_of_other_shapes_are_addresses(url: str) -> None:
    """IPv6, no port, capitals, a trailing slash."""
    assert LLMSettings(base_url=url).base_url.endswith(url[5:].strip("S:/").rstrip("/"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OLLAMA_MODEL", "http://evil/m"),
        ("OLLAMA_MODEL", " "),
        ("LLM_TEMPERATURE", "2.1"),
        ("LLM_TEMPERATURE", "-0.1"),
        ("LLM_TEMPERATURE", "nan"),
        ("LLM_TIMEOUT", "0"),
        ("LLM_TIMEOUT", "inf"),
        ("LLM_CONNECT_TIMEOUT", "61"),
        ("LLM_LOAD_TIMEOUT", "0"),
        ("LLM_KEEP_WARM", "-1"),
        ("LLM_MAX_RESPONSE_BYTES", "1023"),
        ("LLM_KEEP_ALIVE", "300"),
        ("LLM_KEEP_ALIVE", "soon"),
        ("LLM_NUM_CTX", "255"),
        ("LLM_NUM_PREDICT", "0"),
    ],
)
def test_a_value_out_of_bounds_names_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong setting stops the process at its start."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name):
        LLMSettings()


def test_a_request_takes_the_settings_where_it_says_nothing() -> None:
    """And its own values, zero included, where it does."""
    settings = LLMSettings(model="m", temperature=0.5, num_ctx=4096, num_predict=9, keep_alive="5m")
    plain = settings.chat_request(())
    assert (plain.model, plain.temperature, plain.max_tokens) == ("m", 0.5, 9)
    assert (plain.options, plain.keep_alive) == ({"num_ctx": 4096}, "5m")
    own = settings.chat_request((), model="other", temperature=0, max_tokens=3)
    assert (own.model, own.temperature, own.max_tokens) == ("other", 0, 3)


def test_every_setting_has_a_description() -> None:
    """With its unit, for the table in the README."""
    assert all(field.description for field in LLMSettings.model_fields.values())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_tls_checks_certificate_and_host(scheme: str) -> None:
    """Also the context that a plain address gets, should it ever be used."""
    context = ssl_context_for(scheme)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert ssl_context_for(scheme) is context


def test_the_context_of_a_plain_address_trusts_nobody() -> None:
    """It is made without reading any certificate, which is why it is cheap."""
    assert ssl_context_for("http").get_ca_certs() == []


def test_a_reply_with_tools_may_be_silent_for_longer() -> None:
    """Their arguments come without a byte; a longer limit of the operator's stays."""
    short, long = LLMSettings(idle_timeout_s=30), LLMSettings(idle_timeout_s=300)
    assert short.timeouts.for_tools().idle_s == 120
    assert long.timeouts.for_tools().idle_s == 300
    assert short.timeouts.for_tools().first_token_s == short.timeouts.first_token_s
