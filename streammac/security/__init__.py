"""Who may talk to whom: keys, the allow-list, and sockets that keep to both.

`open_context` is where every process and client gets its ZeroMQ context. A context with keys encrypts and
authenticates each of its TCP sockets, one without refuses to listen beyond loopback; so no socket can be forgotten.
"""

from streammac.security.keys import KeyFolder, KeyPair, Keys
from streammac.security.seals import share_seal
from streammac.security.sockets import (
    SecureContext,
    context_with,
    is_loopback,
    open_context,
    refuse_open_host,
)

__all__ = [
    "KeyFolder",
    "KeyPair",
    "Keys",
    "SecureContext",
    "context_with",
    "is_loopback",
    "open_context",
    "refuse_open_host",
    "share_seal",
]
