"""Addresses of receivers: read in one way only, and only those that a setting allows."""

import ipaddress

import pytest
from pydantic import ValidationError

from tests.support.webhooks.receiver import OTHER_SECRET, SECRET
from webhooks.address import Address, AllowedHosts
from webhooks.errors import BadAddress
from webhooks.networks import is_allowed
from webhooks.settings import WebhookSettings

ALLOWED = AllowedHosts.parsed(
    "hooks.example.com, *.inner.example:8443, http://127.0.0.1:9000, https://[2606:4700::1]"
)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "https://hooks.example.com/a/b?c=d",
        "https://HOOKS.Example.com:443/",
        "https://a.inner.example:8443/x",
        "https://a.b.inner.example:8443/x",
        "http://127.0.0.1:9000/x",
        "https://[2606:4700::1]/x",
    ],
)
def test_what_a_pattern_names_is_allowed(url: str) -> None:
    """Scheme, host and port; the path is the receiver's."""
    assert ALLOWED.check(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://inner.example:8443/",
        "https://evil-inner.example:8443/",
        "https://hooks.example.com.evil.example/",
        "https://127.0.0.1:9000/",
        "http://127.0.0.1/",
    ],
)
def test_what_none_names_is_not(url: str) -> None:
    """Each part counts; the error names the host and no path."""
    with pytest.raises(BadAddress, match="are not allowed") as raised:
        ALLOWED.check(f"{url}s3cret")
    assert "s3cret" not in str(raised.value)
    assert ("with http:// before it" in str(raised.value)) == url.startswith("http:")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "ftp://hooks.example.com/",
        "https://user:geheim@hooks.example.com/",
        "https://hooks.example.com@evil.example/",
        "https://hooks.example.com\\@evil.example/",
        "https://evil.example#@hooks.example.com/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\n",
        "https://hooks.example.com./",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com:0/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://[::1",
        "https://[::1%25eth0]/",
        "https://münchen.example/",
        "https://hooks.example.com/" + "x" * 2048,
    ],
)
def test_what_can_be_read_in_two_ways_is_none(url: str) -> None:
    """A login, a number that some take for an address, a name that needs translation."""
    with pytest.raises(BadAddress) as raised:
        Address.parsed(url)
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104  # nobody listens
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("odd", False),
    ],
)
def test_only_public_addresses_are_open_by_themselves(address: str, is_public: bool) -> None:
    """Also those that have another one inside."""
    assert is_allowed(address, ()) is is_public


def test_a_setting_opens_a_private_network_and_no_other() -> None:
    """In either form of its addresses."""
    private = [ipaddress.ip_network("10.20.0.0/16")]
    assert is_allowed("10.20.1.1", private)
    assert is_allowed("::ffff:10.20.1.1", private)
    assert not is_allowed("10.21.1.1", private)
    assert not is_allowed("127.0.0.1", private)


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"hosts": "https://user:geheim@x.example"}, "WEBHOOK_HOSTS"),
        ({"hosts": "x.example/path"}, "WEBHOOK_HOSTS"),
        ({"hosts": "*"}, "WEBHOOK_HOSTS"),
        ({"networks": "geheim"}, "WEBHOOK_NETWORKS"),
        ({"secrets": "geheim"}, "WEBHOOK_SECRETS"),
        ({"secrets": f"{SECRET}, whsec_geheim"}, "WEBHOOK_SECRETS"),
    ],
)
def test_a_setting_that_is_wrong_says_which_and_how(given: dict[str, str], variable: str) -> None:
    """Without a secret or a login."""
    with pytest.raises(ValidationError, match=variable) as raised:
        WebhookSettings.model_validate(given)
    if "networks" not in given:
        assert "geheim" not in str(raised.value)


def test_who_has_hosts_and_a_secret_sends() -> None:
    """And shows neither secret."""
    settings = WebhookSettings.model_validate(
        {"hosts": "x.example", "secrets": f"{SECRET}, {OTHER_SECRET}"}
    )
    assert settings.can_send
    assert len(settings.keys) == 2
    assert SECRET not in repr(settings)
    assert not WebhookSettings().can_send
    assert not WebhookSettings.model_validate({"hosts": "x.example"}).can_send
