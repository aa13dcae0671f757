"""What a worker's time goes into: the seconds of an epoch, how long blocks stay, what happens per second.

The clock is an argument.
"""

from __future__ import annotations

from workers.learner import PhaseTimes

MAX_BLOCKS = 10_000
"""Blocks whose stay here is measured."""


class EpochTimes:
    """The seconds of the current epoch.

    Attributes
    ----------
    work : PhaseTimes
        What the compute thread told last.

    >>> times = EpochTimes(100.0)
    >>> times.work = PhaseTimes(train=3.0, z_step=1.0)
    >>> times.communicated(0.5)
    >>> times.close(106.0)
    {'train': 3.0, 'z_step': 1.0, 'communicate': 0.5, 'wait': 1.5}
    """

    def __init__(self, now: float) -> None:
        self.work = PhaseTimes()
        self._began = now
        self._communicate_s = 0.0

    def begin(self, now: float) -> None:
        """Take notice that an epoch begins: what was before it was rest, and no wait."""
        self._began = now

    def communicated(self, seconds: float) -> None:
        """Count time in which submodels were sent or received and there was nothing to compute."""
        self._communicate_s += seconds

    def close(self, now: float) -> dict[str, float]:
        """Return what the epoch's time went into; the next epoch begins, or rest."""
        wall, self._began = now - self._began, now
        communicate, self._communicate_s = self._communicate_s, 0.0
        return {
            "train": self.work.train,
            "z_step": self.work.z_step + self.work.enter,
            "communicate": communicate,
            "wait": max(0.0, wall - self.work.busy - communicate),
        }


class Untrained:
    """How long the oldest points wait here that no finished epoch had.

    >>> untrained = Untrained()
    >>> untrained.stored(10.0)
    >>> untrained.begin()
    >>> untrained.stored(13.0)  # too late for this epoch
    >>> untrained.age_s(14.0), untrained.done(15.0), untrained.age_s(15.0)
    (4.0, 5.0, 2.0)
    """

    def __init__(self) -> None:
        self._here: float | None = None
        self._in_epoch: float | None = None

    def stored(self, now: float) -> None:
        """Take notice that points have been stored."""
        self._here = now if self._here is None else self._here

    def begin(self) -> None:
        """Take notice that an epoch begins, with all points that are here."""
        # one that was given up comes again
        self._in_epoch = self._here if self._in_epoch is None else self._in_epoch
        self._here = None

    def done(self, now: float) -> float:
        """Take notice that it is finished; return the age of the oldest point that is new in it, 0: none is."""
        since, self._in_epoch = self._in_epoch, None
        return now - since if since is not None else 0.0

    def age_s(self, now: float) -> float:
        """Return the age of the oldest point that no finished epoch had, 0: there is none."""
        oldest = self._in_epoch if self._in_epoch is not None else self._here
        return now - oldest if oldest is not None else 0.0


class Stays:
    """How long each block in training stays here.

    >>> stays = Stays()
    >>> stays.arrived("bits 0", 5.0)
    >>> stays.left("bits 0", 5.25), stays.left("bits 0", 5.5)
    (0.25, None)
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def arrived(self, block: str, now: float) -> None:
        """Take notice that a block came here."""
        if len(self._since) < MAX_BLOCKS:
            self._since[block] = now

    def left(self, block: str, now: float) -> float | None:
        """Take notice that a block goes on; return the seconds since it came, None if it did not come to be trained."""
        since = self._since.pop(block, None)
        return now - since if since is not None else None

    def clear(self) -> None:
        """Forget all: a new view sends blocks on their way."""
        self._since.clear()


class Rate:
    """How fast a count grows from one heartbeat to the next.

    >>> rate = Rate()
    >>> rate.per_second(100.0, 2.0), rate.per_second(130.0, 2.0)
    (50.0, 15.0)
    """

    def __init__(self) -> None:
        self._last = 0.0

    def per_second(self, count: float, elapsed_s: float) -> float:
        """Take the count as it is now; return its growth in the seconds since the last one."""
        grown, self._last = count - self._last, count
        return max(0.0, grown) / max(1e-9, elapsed_s)
