"""When a run first had what users wait for: points stored safely, and a model.

Pure. `run.supervise` shows it each status; the summary tells the times. A process that is restarted
forgets them, so they have to be remembered outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Milestones:
    """Unix times, 0 before they are reached.

    >>> seen = Milestones()
    >>> seen.see({"ingest": [{"first_ack_s": 12.5}], "first_model_s": 20.0})
    >>> seen.see({"ingest": [{"first_ack_s": 99.0}], "first_model_s": 99.0})
    >>> seen
    Milestones(first_ack_s=12.5, first_model_s=20.0)
    """

    first_ack_s: float = 0.0
    first_model_s: float = 0.0

    def see(self, status: Mapping[str, Any]) -> None:
        """Take what is in a status (docs/status.md), unless it was earlier in a former one."""
        acks = [at for node in status.get("ingest", []) if (at := node["first_ack_s"])]
        self.first_ack_s = self.first_ack_s or min(acks, default=0.0)
        self.first_model_s = self.first_model_s or status.get("first_model_s") or 0.0
