"""When a run first had what users wait for: points stored safely, and a model.

Pure. `run.supervise` shows it each status; the summary tells the times. A process that is restarted
forgets them, so they have to be remembered outside.
"""

from __future__ import annotations

from dataclasses import dataclass

from streammac.wire.status import ClusterStatus


@dataclass(slots=True)
class Milestones:
    """Unix times, 0 before they are reached.

    >>> from streammac.wire.status import IngestStatus
    >>> seen = Milestones()
    >>> for ack_s, model_s in ((12.5, 20.0), (99.0, 99.0)):
    ...     node = IngestStatus("i1", first_ack_s=ack_s)
    ...     seen.see(ClusterStatus(ingest=(node,), first_model_s=model_s))
    >>> seen
    Milestones(first_ack_s=12.5, first_model_s=20.0)
    """

    first_ack_s: float = 0.0
    first_model_s: float = 0.0

    def see(self, status: ClusterStatus | None) -> None:
        """Take what is in a status, if there is one, unless it was earlier in a former one."""
        if status is None:
            return
        acks = [node.first_ack_s for node in status.ingest if node.first_ack_s]
        self.first_ack_s = self.first_ack_s or min(acks, default=0.0)
        self.first_model_s = self.first_model_s or status.first_model_s
