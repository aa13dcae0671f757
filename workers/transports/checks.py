"""What every transport must do: run these with a function that makes the ends of a small ring.

>>> from workers.transports.inprocess import Hub, InProcessTransport
>>> def make(names):
...     hub = Hub()
...     return {name: InProcessTransport(hub, name) for name in names}
>>> for check in all_checks():
...     check(make)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from streammac.wire.messages import EpochPlan, Heard, ModelState, Offer, Token, Wake
from workers.transports.base import RingMessage, Transport, TransportError

Make: TypeAlias = Callable[[Sequence[str]], dict[str, Transport]]
PATIENCE_S = 60.0
"""Only a check that fails waits so long."""


def token(lap: int, size: int = 4) -> Token:
    """Return a token that can be told from others by its lap."""
    weights = np.arange(size, dtype=np.float32) + lap
    return Token(1, 2, "encoder/0", lap, ("a", "b"), False, EpochPlan(age=3), {"weights": weights})


def receive(transport: Transport, count: int) -> list[Token]:
    """Wait for so many tokens.

    Raises
    ------
    TimeoutError
        If they do not arrive in time.
    """
    tokens: list[Token] = []
    end = time.monotonic() + PATIENCE_S
    while len(tokens) < count:
        if time.monotonic() > end:
            raise TimeoutError(f"{len(tokens)} of {count} tokens arrived within {PATIENCE_S} s")
        tokens += [message for message in transport.receive() if isinstance(message, Token)]
        time.sleep(0.001)
    return tokens


def _arrived(transport: Transport, count: int) -> list[RingMessage]:
    """Wait for so many messages; return what came in time."""
    arrived: list[RingMessage] = []
    end = time.monotonic() + PATIENCE_S
    while len(arrived) < count and time.monotonic() < end:
        arrived += transport.receive()
        time.sleep(0.001)
    return arrived


def _ring(make: Make, names: Sequence[str]) -> dict[str, Transport]:
    ends = make(names)
    for end in ends.values():
        end.connect({name: other.address for name, other in ends.items()})
    return ends


def check_delivers_what_was_sent(make: Make) -> None:
    """Every field and array arrives as it was."""
    ends = _ring(make, "ab")
    ends["a"].send("b", token(7, size=100_000))
    (got,) = receive(ends["b"], 1)
    assert (got.lap, got.itinerary, got.plan) == (7, ("a", "b"), EpochPlan(age=3))
    np.testing.assert_array_equal(got.tensors["weights"], token(7, size=100_000).tensors["weights"])
    for end in ends.values():
        end.close()


def check_carries_models(make: Make) -> None:
    """Not only tokens travel: who joins gets a whole model."""
    ends = _ring(make, "ab")
    ends["a"].send("b", ModelState(3, 4, {"weights": np.arange(5, dtype=np.float32)}))
    (got,) = _arrived(ends["b"], 1)
    assert isinstance(got, ModelState)
    assert (got.view, got.epoch) == (3, 4)
    np.testing.assert_array_equal(got.tensors["weights"], np.arange(5))
    for one in ends.values():
        one.close()


def check_carries_what_has_no_arrays(make: Make) -> None:
    """Who rests is woken by the others, and who averages told whom they have heard."""
    ends = _ring(make, "ab")
    sent: list[RingMessage] = [Wake(3, 4), Heard(3, 4, "a", 5, ("b",), 2, (0, 1))]
    for message in sent:
        ends["a"].send("b", message)
    assert _arrived(ends["b"], 2) == sent
    for one in ends.values():
        one.close()


def check_carries_copies(make: Make) -> None:
    """A copy that is to be averaged arrives as it was, small or large."""
    ends = _ring(make, "ab")
    for size in (3, 100_000):
        w = np.arange(size, dtype=np.float32)
        ends["a"].send("b", Offer(3, 4, "a", 5, 2, (1,), {"w": w}))
        (got,) = _arrived(ends["b"], 1)
        assert isinstance(got, Offer)
        assert (got.view, got.epoch, got.name, got.iteration) == (3, 4, "a", 5)
        assert (got.period, got.used) == (2, (1,))
        np.testing.assert_array_equal(got.tensors["w"], w)
    for one in ends.values():
        one.close()


def check_keeps_the_order(make: Make) -> None:
    """Tokens of one sender arrive in the order in which they were sent, large ones between small."""
    ends = _ring(make, "ab")
    for lap in range(200):
        ends["a"].send("b", token(lap, size=50_000 if lap % 50 == 0 else 4))
    assert [t.lap for t in receive(ends["b"], 200)] == list(range(200))
    for end in ends.values():
        end.close()


def check_everybody_reaches_everybody(make: Make) -> None:
    """In a ring of four each can send to each, itself included."""
    ends = _ring(make, "abcd")
    for i, sender in enumerate("abcd"):
        for receiver in "abcd":
            ends[sender].send(receiver, token(i))
    for receiver in "abcd":
        assert sorted(t.lap for t in receive(ends[receiver], 4)) == [0, 1, 2, 3]
    for end in ends.values():
        end.close()


def check_refuses_strangers(make: Make) -> None:
    """Sending to somebody outside the view is an error, also after they have left it."""
    ends = _ring(make, "ab")
    ends["a"].connect({"a": ends["a"].address})
    for stranger in ("b", "nobody"):
        refusal = ""
        try:
            ends["a"].send(stranger, token(0))
        except TransportError as error:
            refusal = str(error)
        assert stranger in refusal, f"sending to {stranger!r} should have been refused"
    for end in ends.values():
        end.close()


def check_receive_never_blocks(make: Make) -> None:
    """With nothing there, `receive` returns nothing, at once."""
    ends = _ring(make, "ab")
    assert ends["a"].receive() == []
    for end in ends.values():
        end.close()


def check_a_peer_that_is_not_there_does_not_block(make: Make) -> None:
    """Sending to a member that has gone ends in a refusal, sooner or later, never in a wait."""
    ends = _ring(make, "ab")
    ends["b"].close()
    try:
        for lap in range(20_000):
            ends["a"].send("b", token(lap))
    except TransportError:
        pass
    else:
        raise AssertionError("20000 tokens were taken for a member that is gone")
    ends["a"].close()


def all_checks() -> Iterator[Callable[[Make], None]]:
    """Yield every check of this module."""
    for name, value in sorted(globals().items()):
        if name.startswith("check_"):
            yield value
