"""Addresses with a login in them: each is read in one way, or refused in a line without it."""

from pathlib import Path
from urllib.parse import quote

import pytest
from celery.app.utils import bugreport
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.url import url_to_parts
from pydantic import SecretStr

from llm import LLMSettings
from llm.server_settings import ServerSettings
from memory import InvalidInput, MemorySettings
from memory.address import check_address
from memory.redis.endpoint import endpoint
from tasks.errors import ConfigurationError
from tasks.process.app import GriotCelery, _load_config
from tasks.process.celery_tls import celery_address, plain_options, sentinel_transport
from tasks.process.configuration import load_settings

SECRET = "s3cret"  # noqa: S105  # no one's

AMBIGUOUS = {
    "a forgotten colon": f"{SECRET}@h:1/0",
    "a #": f"default:123#{SECRET}@h:1/0",
    "a / in the password": f":a/{SECRET}@h:1/0",
    "a / in front": f"/{SECRET}@h:1/0",
    "a ?": f":a?{SECRET}@h:1/0",
    "an @": f":a@{SECRET}@h:1/0",
    "a %": f":%{SECRET}@h:1/0",
    "a % at the end": f":{SECRET}%@h:1/0",
    "a bracket": f":[{SECRET}@h:1/0",
    "a blank": f":a {SECRET}@h:1/0",
    "a line's end": f":a\n{SECRET}@h:1/0",
    "a letter that becomes a /": f":\u2100{SECRET}@h:1/0",
    "no host": f":{SECRET}",
    "no host behind a name": f"default:{SECRET}/0",
    "a password behind the ?": f"h:1/0?password={SECRET}",
    "an empty one": f"h:1/0?password=&x={SECRET}",
    "a user behind the ?": f"h:1/0?userid={SECRET}",
    "a db that is a word": f"h:1/{SECRET}",
    "a db behind a password with a /": f"u:1/{SECRET}",
}
ADDRESSES = {
    "the memory": ("REDIS_URL", "redis://{}"),
    "the memory with TLS": ("REDIS_URL", "rediss://{}"),
    "the broker": ("CELERY_BROKER_URL", "redis://{}"),
    "the broker with TLS": ("CELERY_BROKER_URL", "rediss://{}"),
    "the results": ("CELERY_RESULT_BACKEND", "redis://{}"),
    "Sentinels": ("CELERY_BROKER_URL", "sentinel://:fine@a:1/0;sentinel://{}"),
    "Sentinels of the results": ("CELERY_RESULT_BACKEND", "sentinel://{};sentinel://:fine@a:1/0"),
    "RabbitMQ": ("CELERY_BROKER_URL", "amqp://{}"),
}
ANY_VHOST = {"a db that is a word", "a db behind a password with a /"}


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What a process is told that starts with these settings."""
    if "REDIS_HOST" in variables:
        monkeypatch.delenv("REDIS_URL")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    load_settings.cache_clear()
    assert caught.value.__cause__ is None or SECRET not in repr(caught.value.__cause__)
    return str(caught.value)


@pytest.mark.parametrize("where", ADDRESSES)
@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_an_ambiguous_address_is_refused(
    where: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line that names the setting, says how to write it, and repeats nothing of it."""
    if where == "RabbitMQ" and kind in ANY_VHOST:
        pytest.skip("a virtual host has any name")
    name, address = ADDRESSES[where]
    message = refusal(monkeypatch, **{name: address.format(AMBIGUOUS[kind])})
    assert message.startswith(name)
    assert SECRET not in message
    assert "\n" not in message
    # What is written in one way, but must not be, says what may be.
    assert "%23 for #" in message or "may follow only" in message


@given(st.text(min_size=1), st.text(min_size=1))
def test_what_is_escaped_is_read_as_it_was(user: str, password: str) -> None:
    """By redis-py and by kombu, whatever characters it has."""
    try:
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    except UnicodeEncodeError:
        return
    url = f"redis://{login}@h:1/2"
    check_address(url, "REDIS_URL")
    options = endpoint(MemorySettings(url=url)).options
    assert (options["username"], options["password"]) == (user, password)
    parts = url_to_parts(url)
    assert (parts.username, parts.password, parts.hostname) == (user, password, "h")


@given(st.text("ab@:/?#%;[]é\u2100 \n1", max_size=12))
def test_what_is_not_refused_is_read_alike_by_all(login: str) -> None:
    """The memory's client and the broker's agree on host, user and password."""
    url = f"redis://{login}@host:1/2"
    try:
        check_address(url, "REDIS_URL")
        options = endpoint(MemorySettings(url=url)).options
    except InvalidInput:
        return
    parts = url_to_parts(url)
    assert parts.hostname == options["host"] == "host"
    assert (parts.username, parts.password) == (options.get("username"), options.get("password"))


ELSEWHERE = {
    "a host with a login": ("REDIS_HOST", f"me:{SECRET}@h"),
    "an address for a host": ("REDIS_HOST", f"redis://:{SECRET}@h"),
    "a Sentinel with a login": ("REDIS_SENTINELS", f"me:{SECRET}@h:1"),
    "an address for a Sentinel": ("REDIS_SENTINELS", f"redis://:{SECRET}@h:1"),
    "Sentinels without a port": ("REDIS_SENTINELS", f"a:1,{SECRET}"),
    "a model server with a login": ("OLLAMA_BASE_URL", f"http://me:{SECRET}@h:1"),
    "one without a host": ("OLLAMA_BASE_URL", f"http://me:{SECRET}"),
    "one with a key": ("OLLAMA_BASE_URL", f"http://h:1/?key={SECRET}"),
    "one with a #": ("OLLAMA_BASE_URL", f"http://h:1/#{SECRET}"),
    "one with odd letters": ("OLLAMA_BASE_URL", f"http://\u2100{SECRET}@h"),
    "several with a login": ("OLLAMA_BASE_URLS", f"http://a:1,http://me:{SECRET}@h:1"),
    "several without a host": ("OLLAMA_BASE_URLS", f"http://a:1,http://me:{SECRET}"),
    "addresses for a file": ("OLLAMA_SERVERS", f"http://me:{SECRET}@h:1"),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_login_where_none_belongs_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not repeated, where an address or a host's name is expected."""
    name, value = ELSEWHERE[kind]
    mode = {"REDIS_MODE": "sentinel"} if name == "REDIS_SENTINELS" else {}
    message = refusal(monkeypatch, **{name: value}, **mode)
    assert name in message
    assert SECRET not in message
    assert "\n" not in message


def test_a_file_of_servers_is_refused_without_its_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its addresses is checked as the others are."""
    file = tmp_path / "servers.toml"
    for address in (f"http://me:{SECRET}@h", f"http://me:{SECRET}"):
        file.write_text(f'[[server]]\nurl = "{address}"\n', "utf-8")
        message = refusal(monkeypatch, OLLAMA_SERVERS=str(file))
        assert "OLLAMA_SERVERS" in message
        assert SECRET not in message


SHOWN = {
    "a Redis": {"CELERY_BROKER_URL": "redis://u:{}@h:1/0"},
    "TLS": {"CELERY_BROKER_URL": "rediss://u:{}@h:1/0", "CELERY_RESULT_BACKEND": "rediss://:{}@h"},
    "Sentinels": {
        "CELERY_BROKER_URL": "sentinel://:{0}@a:1/0;sentinel://:{0}@b:1/0",
        "CELERY_RESULT_BACKEND": "sentinel://:{0}@a:1/0;sentinel://:{0}@b:1/0",
        "REDIS_SENTINEL_PASSWORD": "{}",
    },
    "RabbitMQ": {"CELERY_BROKER_URL": "amqp://u:{}@h:1//"},
    "several": {"CELERY_BROKER_URL": "redis://:{0}@a:1/0;redis://:{0}@b:1/0"},
    "a socket": {
        "CELERY_BROKER_URL": "redis+socket://:{}@/tmp/x?virtual_host=1",
        "CELERY_RESULT_BACKEND": "redis+socket://:{}@/tmp/x?virtual_host=2",
    },
}


@pytest.mark.parametrize("kind", SHOWN)
def test_neither_report_nor_configuration_shows_a_secret(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`celery report` and `celery inspect conf` are pasted into tickets."""
    monkeypatch.setenv("REDIS_URL", f"redis://u:{SECRET}@h:1/0")
    monkeypatch.setenv("OLLAMA_API_KEY", SECRET)
    for name, value in SHOWN[kind].items():
        monkeypatch.setenv(name, value.format(SECRET))
    load_settings.cache_clear()
    with GriotCelery("secretive", set_as_current=False) as app:
        app.config_from_object(_load_config())
        told = bugreport(app) + repr(app.conf.table(with_defaults=True, censored=True))
        told += repr(app.conf.humanize(with_defaults=True)) + repr(load_settings())
        told += app.connection_for_read().as_uri() + app.backend.as_uri()
        told += repr(app.connection_for_read())
    load_settings.cache_clear()
    assert "task_acks_late" in told
    assert SECRET not in told


def test_settings_show_no_secret() -> None:
    """Neither whole nor in part."""
    memory = MemorySettings(url=f"redis://u:{SECRET}@h", password=SECRET, sentinel_password=SECRET)
    llm = LLMSettings(api_key=SECRET, extra_headers=f"X-Key={SECRET}")
    assert SECRET not in f"{memory!r} {memory} {llm!r} {ServerSettings(api_key=SECRET)!r}"
    assert SECRET not in repr(endpoint(memory))


def test_an_address_with_tls_that_says_nothing_checks_the_certificate() -> None:
    """Kombu 5.7.0 would check none, and Celery's backend would not take the address."""
    assert plain_options("rediss://redis:6379/1", "X").endswith("?ssl_cert_reqs=required")


def test_celerys_sentinels_get_the_tls_of_the_address() -> None:
    """With its authority, and certificate and host name checked: they say who the master is."""
    memory = MemorySettings(url=None, mode="sentinel", sentinels=("a:1",))
    address = celery_address(f"sentinel://a:1/0?ssl_ca_certs={__file__}", "CELERY_BROKER_URL")
    asked = sentinel_transport(memory, address)["sentinel_kwargs"]
    expected = {"ssl_ca_certs": __file__, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    assert isinstance(asked, dict)
    assert asked["ssl"]
    assert {name: asked[name] for name in expected} == expected


def test_celerys_sentinels_alone_get_the_tls_of_the_memorys() -> None:
    """Where only they have it, the broker's address has no place to say so."""
    url = SecretStr("redis://h?ssl_ca_certs=ca")
    memory = MemorySettings(url=url, mode="sentinel", sentinels=("a:1",), sentinel_tls=True)
    address = celery_address("sentinel://a:1/0", "CELERY_BROKER_URL")
    asked = sentinel_transport(memory, address)["sentinel_kwargs"]
    assert isinstance(asked, dict)
    assert (asked["ssl"], asked["ssl_ca_certs"]) == (True, "ca")
