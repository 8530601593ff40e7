"""Signing as Standard Webhooks says (standardwebhooks.com, version 1): HMAC-SHA256 of the event's
id, the time and the body. Pure.

Its Python package brings an HTTP client for five lines of hmac, to every worker; so it only checks
these lines, in the tests.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64


def secret_bytes(secret: str) -> bytes:
    """The key in a secret such as `whsec_…`. Raises ValueError, which does not repeat it."""
    try:
        if secret.startswith(PREFIX):
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
            if LEAST_BYTES <= len(key) <= MOST_BYTES:
                return key
    except binascii.Error:
        pass
    raise ValueError(
        f"each secret must be {PREFIX} and {LEAST_BYTES} to {MOST_BYTES} random bytes in base64, "
        'such as from: echo "whsec_$(openssl rand -base64 32)"'
    )


def signed_headers(
    keys: Sequence[bytes], event_id: str, body: bytes, *, now_s: int
) -> Mapping[str, str]:
    """The headers of one delivery, with a signature by each key; `now_s` is Unix time."""
    signed = b".".join((event_id.encode(), str(now_s).encode(), body))
    made = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": " ".join(f"v1,{one}" for one in made),
    }
