"""How tokens travel between workers: one interface, one conformance suite, several ways."""

from workers.transports.base import Transport, TransportError

__all__ = ["Transport", "TransportError"]
