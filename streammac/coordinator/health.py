"""How a cluster is, in four answers: whether it trains, whether it keeps up, who is slow, what failed.

They are found here and nowhere else: the status carries them, and the page, the terminal and reports show them.
"""

from __future__ import annotations

from collections import deque

from streammac.wire.status import Answer, ClusterStatus, Tone, WorkerStatus

QUESTIONS = {
    "training": "Is it training?",
    "feed": "Does it keep up?",
    "slow": "Who is slow?",
    "failures": "What failed?",
}
RECENT_S = 12.0
"""What "now" means for rates."""
SAMPLE_S = 0.5
"""Shortest time between two samples, however often the status is asked for."""
LATELY = 0.1
"""Weight of the newest sample in what a worker usually computes."""
SLOW = 1.25
"""So much longer than the mean counts as slow. A sample is taken anywhere in an epoch, and epochs differ by chance:
what workers usually compute is compared, not one epoch, and a small difference is not worth a warning."""
HELD_UP = 0.05
"""Share of time in which a feed may wait unnoticed."""
STALLED_S = 10.0
"""Shortest time without an epoch that is worth a word."""
STALLED_EPOCHS = 4
"""Where epochs take long, so many could have been done before it is worth one."""


class Health:
    """Gives the answers, and remembers the little that they need of former statuses.

    >>> health = Health()
    >>> [answer.text for answer in health.answers(ClusterStatus(), now=0.0)]
    ['No workers', 'No ingest node', 'Nothing to compare', 'No failures']
    """

    def __init__(self) -> None:
        self._epochs: deque[tuple[float, int]] = deque()
        """When the newest epochs were seen: those of the last `RECENT_S`, and at least two."""
        self._blocked: deque[tuple[float, float]] = deque()
        """Seconds that ingest nodes have waited, all together, at times of the last `RECENT_S`."""
        self._usual: dict[str, float] = {}
        """Seconds that each worker usually computes in an epoch."""

    def answers(self, status: ClusterStatus, now: float) -> tuple[Answer, ...]:
        """Return the answers for the newest status; ``now`` is any clock that only goes forward, s."""
        self._observe(status, now)
        return (
            self._training(status, now),
            self._feed(status),
            self._balance(status.members, "warn"),
            failures(status),
        )

    def ended(self, status: ClusterStatus) -> tuple[Answer, ...]:
        """Return the answers for the last status of a run that has ended."""
        dead = status.points.dead_lettered
        more = f"{dead:,} dead letters" if dead else ""
        return (
            _answer("training", "none", f"Ended after {status.epoch:,} epochs", _version(status)),
            _answer("feed", "none", f"{status.points.accepted:,} points taken", more),
            self._balance([w for w in status.workers if w.is_here or w.state == "left"], "none"),
            failures(status),
        )

    def _observe(self, status: ClusterStatus, now: float) -> None:
        if status.resting:  # how long it rests says nothing of how long epochs take
            self._epochs.clear()
        if not self._epochs or status.epoch != self._epochs[-1][1]:
            self._epochs.append((now, status.epoch))
            while len(self._epochs) > 2 and now - self._epochs[0][0] > RECENT_S:
                self._epochs.popleft()
        if self._blocked and now - self._blocked[-1][0] < SAMPLE_S:
            return
        self._blocked.append((now, sum(node.blocked_s for node in status.feeding)))
        while now - self._blocked[0][0] > RECENT_S:
            self._blocked.popleft()
        former = {worker.name: self._usually(worker) for worker in status.workers}
        newest = {worker.name: worker.effort_s for worker in status.members}
        self._usual = {
            name: usual + LATELY * (newest.get(name, usual) - usual)
            for name, usual in former.items()
        }

    def _usually(self, worker: WorkerStatus) -> float:
        return self._usual.get(worker.name) or worker.effort_s

    def _training(self, status: ClusterStatus, now: float) -> Answer:
        if status.waiting or not status.members:
            reason = status.waiting or "no workers"
            tone: Tone = "warn" if status.members else "bad"
            return _answer("training", tone, reason[0].upper() + reason[1:])
        if not status.epoch:
            stored = f"{status.points.stored:,} points stored so far"
            return _answer("training", "warn", "Not training yet", stored)
        more = f"epoch {status.epoch:,}, {_version(status)}"
        if status.resting:
            return _answer("training", "good", f"Resting: {status.resting}", more)
        (began, first), (seen, last) = self._epochs[0], self._epochs[-1]
        pace = (last - first) / (seen - began) if seen > began else 0.0
        silence = now - seen
        if silence > max(STALLED_S, STALLED_EPOCHS / pace if pace else 0.0):
            return _answer("training", "warn", f"No epoch for {silence:.0f} s", more)
        if not pace:
            return _answer("training", "good", "Training", more)
        each = f"{pace:.1f} epochs/s" if pace >= 1 else f"an epoch in {1 / pace:.1f} s"
        return _answer("training", "good", f"Training, {each}", more)

    def _feed(self, status: ClusterStatus) -> Answer:
        nodes, points = status.feeding, status.points
        dead = f", {points.dead_lettered:,} dead letters" if points.dead_lettered else ""
        total = f"{points.accepted:,} points{dead}"
        if not nodes:
            return _answer("feed", "warn", "No ingest node", total)
        failed = [text for node in nodes for text in node.failed]
        if failed:
            return _answer("feed", "bad", "A feed failed", failed[0])
        if all(node.finished for node in nodes):
            return _answer("feed", "good", "Feed has ended", total)
        rate = f"{status.point_rate:,.0f} points/s"
        (first_at, first), (last_at, last) = self._blocked[0], self._blocked[-1]
        waited = (last - first) / (last_at - first_at) / len(nodes) if last_at > first_at else 0.0
        if waited > HELD_UP:
            return _answer("feed", "warn", f"Held up {min(1.0, waited):.0%}, {rate}", total)
        return _answer("feed", "good", f"Keeps up, {rate}", total)

    def _balance(self, workers: list[WorkerStatus], tone: Tone) -> Answer:
        usual = [self._usually(worker) for worker in workers]
        if len(workers) < 2 or not all(usual):
            return _answer("slow", "none", "Nothing to compare")
        most = max(usual)
        slowest = workers[usual.index(most)]
        ratio = most * len(usual) / sum(usual)
        more = f"{slowest.name}: {slowest.points:,} points, {slowest.busy_share:.0%} busy"
        if ratio < SLOW:
            return _answer("slow", "good", "Balanced", more)
        return _answer("slow", tone, f"{slowest.name} slow, {ratio:.1f} x mean", more)


def failures(status: ClusterStatus) -> Answer:
    """Return what failed, and whether that is over; with what the supervisor tells, where it is in the status."""
    down = [child.name for child in status.children if child.state == "down"]
    if down:
        return _answer("failures", "bad", f"Down: {_named(down)}")
    lost = [process.name for process in (*status.workers, *status.ingest) if process.is_lost]
    if lost:
        kinds = [event.kind for event in status.events if event.kind in ("lost", "recovered")]
        if kinds and kinds[-1] == "recovered":  # the others go on
            return _answer("failures", "warn", f"Lost: {_named(lost)}", _recovered(status))
        return _answer(
            "failures", "bad", f"Lost: {_named(lost)}", "not recovered yet" * bool(kinds)
        )
    wrong = [worker.name for worker in status.members if worker.failed_steps]
    if wrong:
        steps = sum(worker.failed_steps for worker in status.members)
        return _answer("failures", "bad", f"{steps:,} steps failed: {_named(wrong)}", "on numbers")
    deaths = max(status.failures.deaths, status.restarts)
    if deaths:
        recovered = _recovered(status) or "all back"
        return _answer("failures", "warn", f"{deaths:,} died, {recovered}")
    drifts = f"{status.drift_events:,} drifts seen" if status.drift_events else ""
    return _answer("failures", "good", "No failures", drifts)


def _recovered(status: ClusterStatus) -> str:
    seconds = status.recovery.last_s
    return f"recovered in {seconds:.1f} s" if seconds else ""


def _version(status: ClusterStatus) -> str:
    if not status.model_version:
        return "no model yet"
    pinned = f", version {status.promoted} is pinned" if status.pinned else ""
    return f"model version {status.model_version}{pinned}"


def _named(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _answer(kind: str, tone: Tone, text: str, more: str = "") -> Answer:
    return Answer(kind, QUESTIONS[kind], tone, text, more)
