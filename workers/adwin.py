"""River's ADWIN without the rest of River: its detectors load scikit-learn and pandas, a second of a worker's start.

The window with its buckets and the test are River's compiled ones. Here is what River's own `ADWIN` does round them.
"""

from __future__ import annotations

from functools import partial


class Adwin:
    """A detector of changes of a mean; it begins anew after each one.

    Parameters
    ----------
    delta : float
        Confidence: smaller means fewer false alarms.
    clock : int
        Observations between two looks.

    Attributes
    ----------
    drift_detected : bool
        The last observation was one of another mean.

    References
    ----------
    Bifet, Gavalda: Learning from Time-Changing Data with Adaptive Windowing, SDM 2007.
    """

    def __init__(self, delta: float, clock: int) -> None:
        try:
            from river._river_rust.drift import AdaptiveWindowing
        except ImportError:  # in another release of River
            from river.drift.adwin import AdaptiveWindowing  # type: ignore[attr-defined]
        self._window_of = partial(
            AdaptiveWindowing,
            delta=delta,
            clock=clock,
            max_buckets=5,
            min_window_length=5,
            grace_period=10,
        )
        self._window = self._window_of()
        self.drift_detected = False

    @property
    def estimation(self) -> float:
        """Mean of the window, 0 while it is empty."""
        width = float(self._window.get_width())
        return float(self._window.get_total()) / width if width else 0.0

    def update(self, value: float) -> None:
        """Take an observation."""
        if self.drift_detected:
            self._window = self._window_of()
        self.drift_detected = bool(self._window.update(value))
