"""From settings to the options of a client, and from its errors to ours."""

import traceback
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from redis import exceptions
from redis.sentinel import MasterNotFoundError

from memory import (
    CorruptData,
    InvalidInput,
    MemoryBusy,
    MemoryFull,
    MemoryRefused,
    MemoryServiceError,
    MemorySettings,
    MemoryUnavailable,
)
from memory.redis.command import Command
from memory.redis.endpoint import endpoint
from memory.redis.failures import Attempts, refused, translated, translating
from memory.redis.replies import unexpected_reply

SECRET = "p@ss:w/rd"  # noqa: S105 - made up


def _settings(**changes: object) -> MemorySettings:
    return MemorySettings(url=None).model_copy(update=changes)


def test_the_parts_say_where_redis_is() -> None:
    """Host, port, db, user and password."""
    password = SecretStr(SECRET)
    options = endpoint(_settings(host="h", port=1, db=2, username="u", password=password)).options

    assert (options["host"], options["port"], options["db"]) == ("h", 1, 2)
    assert (options["username"], options["password"]) == ("u", SECRET)
    assert "ssl" not in options


def test_a_url_overrides_the_parts() -> None:
    """Also those that it does not name."""
    url = SecretStr("redis://u:p%40ss%3Aw%2Frd@h:1/3")
    options = endpoint(_settings(url=url, host="x", db=9)).options
    bare = endpoint(_settings(url=SecretStr("redis://h"), port=7, password=SecretStr("x"))).options

    assert (options["host"], options["port"], options["db"]) == ("h", 1, 3)
    assert (options["username"], options["password"]) == ("u", SECRET)
    assert (bare["port"], bare["db"], bare.get("password")) == (6379, 0, None)


def test_rediss_verifies_certificate_and_host() -> None:
    """TLS that checks nothing protects nothing."""
    options = endpoint(_settings(url=SecretStr("rediss://h"))).options

    assert options["ssl"] is True
    assert options["ssl_cert_reqs"] == "required"
    assert options["ssl_check_hostname"] is True


def test_every_answer_has_a_time_limit() -> None:
    """Connecting and reading."""
    options = endpoint(_settings(timeout_s=2.5)).options

    assert options["socket_timeout"] == options["socket_connect_timeout"] == 2.5


def test_sentinels_are_parsed() -> None:
    """host:port, IPv6 in brackets; their clients get no database and no password of the data."""
    where = endpoint(
        _settings(mode="sentinel", sentinels=("h:1", "[::1]:2"), password=SecretStr(SECRET))
    )

    assert where.sentinels == (("h", 1), ("::1", 2))
    assert not {"db", "password", "host"} & set(where.sentinel_options())
    with pytest.raises(InvalidInput):
        endpoint(_settings(mode="sentinel", sentinels=("h",)))


def test_sentinels_have_a_login_and_tls_of_their_own() -> None:
    """Neither theirs for the servers nor the servers' for them."""
    given = {"mode": "sentinel", "sentinels": ("a:1",), "sentinel_password": SecretStr("theirs")}
    plain = endpoint(_settings(**given, password=SecretStr("servers")))
    logins = plain.options["password"], plain.sentinel_options()["password"]
    assert logins == ("servers", "theirs")
    assert "ssl" not in plain.sentinel_options()
    url = SecretStr("rediss://:servers@h?ssl_ca_certs=ca")
    both = endpoint(_settings(**given, url=url)).sentinel_options()
    assert (both["ssl"], both["ssl_ca_certs"], both["password"]) == (True, "ca", "theirs")
    assert "ssl" not in endpoint(_settings(**given, url=url, sentinel_tls=False)).sentinel_options()
    only = endpoint(
        _settings(**given, url=SecretStr("redis://h?ssl_ca_certs=ca"), sentinel_tls=True)
    )
    assert (only.sentinel_options()["ssl"], only.sentinel_options()["ssl_ca_certs"]) == (True, "ca")
    assert not any(name.startswith("ssl") for name in only.options)


@pytest.mark.parametrize("url", ["redis://h", "rediss://h"])
def test_the_certificates_of_sentinels_are_checked(url: str) -> None:
    """And their hosts' names, where no address says otherwise: they say who the master is."""
    given = {"mode": "sentinel", "sentinels": ("a:1",), "sentinel_tls": True}
    asked = endpoint(_settings(**given, url=SecretStr(url))).sentinel_options()
    checks = asked["ssl"], asked["ssl_cert_reqs"], asked["ssl_check_hostname"]
    assert checks == (True, "required", True)


def test_a_cluster_has_one_database() -> None:
    """Another number would silently be another place."""
    assert "db" not in endpoint(_settings(mode="cluster")).cluster_options()
    with pytest.raises(InvalidInput):
        endpoint(_settings(mode="cluster", db=1))
    with pytest.raises(InvalidInput):
        endpoint(_settings(mode="cluster", url=SecretStr("unix:///x")))


@pytest.mark.parametrize(
    "url",
    [f"http://:{SECRET}@h", f":{SECRET}@h", "", f"redis://:{SECRET}@h:port/0", "redis://h?db=x"],
)
def test_a_wrong_url_is_refused_without_showing_it(url: str) -> None:
    """It holds the password."""
    with pytest.raises(InvalidInput) as caught:
        endpoint(_settings(url=SecretStr(url)))

    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    "option",
    [
        "decode_responses=True", "socket_timeout=60", "socket_connect_timeout=60", "timeout=60",
        "max_connections=1", "retry_on_timeout=True", "password=s3cret", "username=u", "db=3",
        "host=x", "port=1", "ssl=false",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["single", "cluster"])
def test_an_option_that_is_said_elsewhere_is_refused(mode: str, option: str) -> None:
    """It would change what replies are, how long they may take, or where they come from."""
    with pytest.raises(InvalidInput, match="REDIS_TIMEOUT") as caught:
        endpoint(_settings(url=SecretStr(f"rediss://h?{option}"), mode=mode))
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_of_tls_and_of_a_socket_may_stand_in_the_url() -> None:
    """Nothing else says them; a socket's address has no other place for the db."""
    tls = endpoint(_settings(url=SecretStr("rediss://h?ssl_ca_certs=ca&ssl_password=x"))).options
    unix = endpoint(_settings(url=SecretStr("unix:///run/redis.sock?db=3&password=x"))).options

    assert (tls["ssl_ca_certs"], tls["ssl_password"]) == ("ca", "x")
    assert (unix["unix_socket_path"], unix["db"], unix["password"]) == ("/run/redis.sock", 3, "x")
    with pytest.raises(InvalidInput):
        endpoint(_settings(url=SecretStr("rediss://h?ssl_password=x"), mode="cluster"))


def test_labels_hold_no_password() -> None:
    """They are in every message."""
    password = SecretStr(SECRET)
    labels = [
        endpoint(_settings(password=password)).label,
        endpoint(_settings(url=SecretStr(f"redis://:{quote(SECRET, safe='')}@h"))).label,
        endpoint(_settings(url=SecretStr(f"unix://u:{quote(SECRET, safe='')}@/sock"))).label,
        endpoint(_settings(mode="cluster", password=password)).label,
        endpoint(_settings(mode="sentinel", sentinels=("h:1",), password=password)).label,
    ]

    assert not any("p@ss" in label or "p%40ss" in label for label in labels)


ERRORS = [
    (exceptions.ConnectionError("gone"), MemoryUnavailable),
    (exceptions.TimeoutError("slow"), MemoryUnavailable),
    (ConnectionResetError("reset"), MemoryUnavailable),
    (exceptions.BusyLoadingError("loading"), MemoryBusy),
    (exceptions.ReadOnlyError("replica"), MemoryBusy),
    (exceptions.ResponseError("MASTERDOWN x"), MemoryBusy),
    (exceptions.ClusterDownError("CLUSTERDOWN x"), MemoryBusy),
    (exceptions.MaxConnectionsError("too many"), MemoryBusy),
    (exceptions.RedisClusterException("cannot be connected"), MemoryUnavailable),
    (exceptions.AuthenticationError("wrong"), MemoryRefused),
    (exceptions.NoPermissionError("no"), MemoryRefused),
    (exceptions.ResponseError("NOAUTH Authentication required."), MemoryRefused),
    (
        exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        MemoryFull,
    ),
    (
        exceptions.OutOfMemoryError("allow-oom flag is not set on the script, can not run it"),
        MemoryFull,
    ),
    (exceptions.ResponseError("OOM command not allowed"), MemoryFull),
    (exceptions.ResponseError("WRONGTYPE Operation against a key"), CorruptData),
    (exceptions.ResponseError("ERR anything else"), CorruptData),
]


@pytest.mark.parametrize(("foreign", "ours"), ERRORS, ids=range(len(ERRORS)))
def test_every_error_of_the_client_becomes_ours(
    foreign: Exception, ours: type[MemoryServiceError]
) -> None:
    """By what the caller can do about it."""
    with pytest.raises(MemoryServiceError) as caught, translating("server"):
        raise foreign

    assert type(caught.value) is ours
    assert caught.value.__cause__ is foreign


def test_a_refusal_inside_a_cluster_error_is_a_refusal() -> None:
    """The cluster client wraps what each node said."""
    wrapped = exceptions.RedisClusterException("cannot be connected")
    wrapped.__cause__ = exceptions.AuthenticationError("wrong")

    assert isinstance(translated(wrapped, "server"), MemoryRefused)


def test_sentinels_that_name_no_master_are_told_from_a_master_that_is_away() -> None:
    """All that redis-py says of a certificate that is refused is that there was an error."""
    away = MasterNotFoundError("No master found for 'm' : network:ConnectionError")
    error = translated(away, "m (Sentinels a:1)")
    assert isinstance(error, MemoryUnavailable)
    for setting in ("REDIS_SENTINELS", "REDIS_SENTINEL_MASTER", "REDIS_SENTINEL_TLS"):
        assert setting in str(error)


def test_no_error_shows_arguments() -> None:
    """Redis quotes the arguments of a command that it does not know."""
    reply = "unknown command 'X', with args beginning with: 'secret words'"

    error = exceptions.ResponseError(reply)
    assert "secret" not in str(translated(error, "server"))
    with pytest.raises(CorruptData) as raised, translating("server"):
        raise error
    refusal = refused(Command(str, ("X", "k")), error, "server")
    for shown in (raised.value, refusal):
        assert "secret" not in "".join(traceback.format_exception(shown))
    with pytest.raises(InvalidInput) as caught, translating("server"):
        "secret \ud800".encode()
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("reply", [[b"SECRET WORDS"], b"secret", [b"secret"], [[b"SECRET"]]])
def test_no_error_shows_a_reply(reply: object) -> None:
    """It may be a message, be it one in capitals."""
    shown = str(unexpected_reply(reply))
    assert "secret" not in shown.lower()
    assert "NOT_OURS" in str(unexpected_reply([b"NOT_OURS", b"secret"]))


def test_attempts_end() -> None:
    """After three repeats, or when the time is up."""
    attempts = Attempts(timeout_s=60)
    delays = [attempts.next_delay_s() for _ in range(5)]

    assert [delay is None for delay in delays] == [False, False, False, True, True]
    assert sum(delay or 0 for delay in delays) <= 0.75
    assert Attempts(timeout_s=0.01).next_delay_s() is None
