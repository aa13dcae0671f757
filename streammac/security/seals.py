"""The seal that members of a cluster put on bytes that may hold code, made of the secret that they have in common."""

from __future__ import annotations

from streammac.models.learners import seal
from streammac.security.keys import Keys


def share_seal(keys: Keys | None) -> None:
    """Have this process believe the seals of its cluster's members; a client has not the secret for it."""
    if keys is not None and keys.server is not None:
        seal.share(keys.server.secret)
