"""Seals on bytes that may hold code: whoever has the same secret has made them, or they are not opened.

A process believes itself, and, once it shares the secret of its cluster's key, the other members. What comes from
anybody else, in a message or in a file, is refused before anything looks at it.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from streammac.models.learners.converter import LearnerFailed

TAG_BYTES = 32
_own = os.urandom(TAG_BYTES)
_shared: bytes | None = None


class BadSeal(LearnerFailed):
    """Bytes are not opened: nobody made them who has a secret of this process."""


def share(secret: bytes) -> None:
    """Believe the others who have this secret, and seal for them."""
    global _shared
    _shared = hashlib.sha256(b"streammac learners\0" + secret).digest()


def sealed(data: bytes, what: str) -> bytes:
    """Return bytes with a seal, which says also what they are."""
    return _tag(_own if _shared is None else _shared, data, what) + data


def opened(sealed: bytes, what: str) -> bytes:
    """Return the bytes under a seal.

    Raises
    ------
    BadSeal
        If neither this process nor a member of its cluster has made it, for the same purpose.
    """
    tag, data = sealed[:TAG_BYTES], sealed[TAG_BYTES:]
    for secret in (_own, _shared):
        if secret is not None and hmac.compare_digest(tag, _tag(secret, data, what)):
            return data
    raise BadSeal(
        f"{what}: its bytes may hold code and are not opened: nobody with the cluster's key has made them, or there "
        "is no cluster.key here"
    )


def _tag(secret: bytes, data: bytes, what: str) -> bytes:
    return hmac.digest(secret, what.encode() + b"\0" + data, "sha256")
