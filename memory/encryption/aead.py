"""AES-256-GCM from `cryptography`: the one module that needs that package."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class Aead:
    """Encrypts and authenticates with one key; safe in threads."""

    def __init__(self, key: bytes) -> None:
        self._gcm = AESGCM(key)

    def sealed(self, plain: bytes, associated: bytes) -> bytes:
        """A random nonce and the ciphertext, which opens with the same `associated` data only."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._gcm.encrypt(nonce, plain, associated)

    def opened(self, box: bytes, associated: bytes) -> bytes | None:
        """What was sealed; None for another key, for other `associated` data, or if changed."""
        try:
            return self._gcm.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], associated)
        except (InvalidTag, ValueError):  # the latter: too short to be one
            return None
