"""From a seed to a story: how large and how fast the cluster is, which faults come when, and how it ends.

Faults come in bursts, because what is hard is what happens while something else is being dealt with.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

from tests.simulation.cluster import Cluster, Size
from tests.simulation.kernel import Kernel, Violation
from tests.simulation.themes import theme_of
from tests.simulation.worker import Pace

DISKS = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Simulated disks are folders in memory, where there is such a place."""
MAX_FAULTS = 12
FEW_FAULTS = 3
MORE_FAULTS = 8
"""Besides, so many may come while a view changes."""
TROUBLED_S = 20.0
"""Faults begin within that time after the ring has begun to turn."""
ROTTING = 0.15
"""Share of the stories in which what is stored rots."""
MAX_ROT = 3
MOVING = 0.4
"""Share of the stories in which points are moved from worker to worker."""
MAX_MOVES = 3
ADOPTING = 0.3
"""Share of the stories in which the ring goes on from other models than those that it has trained."""
RESTING = 0.25
"""Share of the stories in which the feed pauses, and the ring rests where nothing is left to train."""
MAX_PAUSES = 5
ROUSED_S = 80.0
"""Points that come to a ring that rests are trained on within that time, and it rests again."""
MORE_FAULTS_MOVING = 4
"""Besides, so many may come while points are moved."""
PATIENT_S = 600.0
"""Time to leave that is never up: it has to be enough that nothing fails any more."""
CALM_S = 75.0
"""Everything is well again so long after the last fault: whoever was given up is kept out for 30 s."""

FAULTS = {
    "kill": 5,
    "hang": 3,
    "join": 3,
    "drain": 4,
    "cut": 3,
    "repeat": 2,
    "echo": 1,
    "deaf": 1,
    "exodus": 4,
    "split": 3,
    "isolate": 3,
    "coordinator": 3,
    "fuse": 3,
    "power": 2,
    "disk full": 2,
    "ingest": 3,
    "ingest hang": 1,
}
"""What can happen, and how often relative to each other."""
FAULTS_MEANWHILE = {
    "kill": 3,
    "drain": 4,
    "exodus": 2,
    "join": 1,
    "cut": 2,
    "echo": 4,
    "deaf": 5,
    "coordinator": 2,
    "hang": 1,
}
"""The same, for what happens while a view changes."""
FAULTS_MOVING = {
    "fuse": 5,
    "kill": 3,
    "hang": 2,
    "cut": 3,
    "echo": 2,
    "split": 2,
    "isolate": 2,
    "power": 1,
    "disk full": 2,
    "ingest": 2,
    "coordinator": 1,
    "drain": 1,
    "pass on": 4,
}
"""The same, for what happens to one of two workers between which points move."""
CHURN = {"drain": 2, "kill": 1, "join": 2}
"""The same, for views that follow each other."""
SUDDEN = {"drain": 3, "coordinator": 1, "kill": 1}
"""The same, for what makes another view soon."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation that broke no rule came to."""

    seconds: float
    events: int
    epochs: int
    views: int
    visits: int
    batches: int
    hops_lost: int
    digest: str


def _orders_to_move(rng: random.Random) -> tuple[int, int]:
    """Return how many faults more come while points move, and how many orders to move points there are."""
    more = rng.randint(0, MORE_FAULTS_MOVING)
    return more, rng.randint(1, MAX_MOVES) * (rng.random() < MOVING)


def tells_of_moves(seed: int) -> bool:
    """Return whether points move in a story."""
    return _orders_to_move(random.Random(f"moves {seed}"))[1] > 0


class Story:
    """One simulation.

    Parameters
    ----------
    seed : int
        Which one.
    whole : bool
        Keep a digest of the whole trace.
    """

    def __init__(self, seed: int, *, whole: bool = False) -> None:
        self.whole = whole
        self.kernel = Kernel(seed, whole=whole)
        rng = self.kernel.rng
        pace = Pace(
            load=rng.choice([0.05, 0.5, 1.5]),
            visit=rng.choice([0.02, 0.06, 0.2, 0.6]),
            z_step=rng.choice([0.02, 0.2, 1.0]),
        )
        size = Size(
            workers=rng.randint(3, 6) if rng.random() < 0.8 else rng.randint(1, 2),
            submodels=rng.randint(3, 5),
            laps=rng.randint(1, 2),
            epochs=rng.choice([0, 0, 0, 12]),
            pace=pace,
            slowest_s=rng.choice([0.002, 0.01, 0.05]),
            jitter=rng.choice([0.0, 0.02, 0.1]),
            nodes=rng.randint(1, 2),
            push_every_s=rng.choice([0.1, 0.3]),
            ack=rng.choice(["file", "fsync"]),
            keep=rng.choice([None, None, 60]),
            alone=False,
        )
        self._theme = theme_of(seed)
        if self._theme is not None:
            size = self._theme.applied(size)
        # chance of its own, and short epochs, since a continuation is to come to its end
        self._rests = random.Random(f"rests {seed}")
        is_resting = self._rests.random() < RESTING
        if is_resting:
            size = replace(size, pace=replace(size.pace, visit=0.02, z_step=0.02))
        self._folder = tempfile.TemporaryDirectory(dir=DISKS, prefix="simulated-")
        self.cluster = Cluster(self.kernel, size, Path(self._folder.name))
        self.cluster.model.chance = self._rests if is_resting else None
        self.cluster.rules.on_view = self._on_view
        # where much goes wrong, one fault may mend what another has broken: so there are quiet stories, too
        self._is_quiet = rng.random() < 0.4
        self._more = 0 if self._is_quiet or self._theme else rng.randint(0, MORE_FAULTS)
        self._healed = False
        # chance of their own: a story without moves is as it would be if there were none
        self._moves = random.Random(f"moves {seed}")
        self._rots = random.Random(f"rot {seed}")
        verdicts = random.Random(f"verdicts {seed}")
        if verdicts.random() < ADOPTING:
            self.cluster.files.verdicts = verdicts
        self._more_moving, self._orders = _orders_to_move(self._moves)
        self.cluster.on_batch = self._on_batch

    def tell(self) -> Outcome:
        """Run it, once.

        Raises
        ------
        Violation
            If a rule does not hold.
        """
        try:
            return self._tell()
        finally:
            self.cluster.close()
            self._folder.cleanup()

    def _tell(self) -> Outcome:
        kernel, cluster = self.kernel, self.cluster
        begin = 1.0 + 2.0 * kernel.rng.random()
        moment = begin
        faults, most = FAULTS, FEW_FAULTS if self._is_quiet else MAX_FAULTS
        if self._theme is not None:
            faults, most = self._theme.faults, self._theme.most
        for _ in range(kernel.rng.randint(1, most)):
            if kernel.rng.random() < 0.5:
                moment = begin + TROUBLED_S * kernel.rng.random()
            else:
                moment += 0.3 * kernel.rng.random() ** 2
            kernel.after(moment, self._do_unless_healed, self._injection, (faults,))
        if self._rots.random() < ROTTING:
            for _ in range(self._rots.randint(1, MAX_ROT)):
                moment = begin + TROUBLED_S * self._rots.random()
                kernel.after(moment, self._do_unless_healed, self._rot, ())
        for _ in range(self._orders):
            moment = begin + TROUBLED_S * self._moves.random()
            kernel.after(moment, self._do_unless_healed, self._move, ())
        if cluster.model.chance is not None:
            for _ in range(self._rests.randint(1, MAX_PAUSES)):
                moment = begin + TROUBLED_S * self._rests.random()
                kernel.after(moment, self._do_unless_healed, self._pause, ())
        kernel.run(begin + TROUBLED_S + 1.0, lambda: False)
        cluster.heal()
        self._healed = True
        kernel.run(kernel.now + CALM_S, self._is_over)
        cluster.check_the_end()
        core = cluster.coordinator.core
        if cluster.model.chance is not None:
            stalls = core.events.counts["stall"]
            cluster.bring_points()
            kernel.run(kernel.now + ROUSED_S, self._is_over)
            cluster.check_the_end()
            if core.events.counts["stall"] > stalls:
                raise Violation("stuck: it took a stall to wake the ring")
        return Outcome(
            kernel.now,
            kernel.events,
            core.progress.epoch,
            core.views.number,
            cluster.visits.count,
            len(cluster.points.settled),
            cluster.rules.lost,
            kernel.trace.digest if self.whole else "",
        )

    def tail(self, lines: int) -> str:
        """Return the end of the trace."""
        return self.kernel.trace.tail(lines) if lines else ""

    def _is_over(self) -> bool:
        return self.kernel.events % 50 == 0 and not self.cluster.troubles

    def _on_view(self) -> None:
        """The ring is being put together: a good moment for something else to happen."""
        rng = self.kernel.rng
        if self._more > 0 and not self._healed and rng.random() < 0.5:
            self._more -= 1
            self.kernel.after(
                0.1 * rng.random() ** 4,
                self._do_unless_healed,
                self._injection,
                (FAULTS_MEANWHILE,),
            )

    # -- faults ---------------------------------------------------------------------------

    def _injection(self, faults: Mapping[str, int] = FAULTS, among: tuple[str, ...] = ()) -> None:
        """Have something happen, to some of these workers if it is to happen to workers (nobody: to any)."""
        rng, cluster = self.kernel.rng, self.cluster
        kind = rng.choices(list(faults), list(faults.values()))[0]
        here = [worker.name for worker in cluster.alive if not among or worker.name in among]
        nodes = [node.name for node in cluster.nodes.values()]
        if not here:
            if among:
                return
            kind = "join"
        match kind:
            case "kill":
                self._kill(rng.choice(here))
            case "hang":
                name = rng.choice(here)
                cluster.stop(name)
                self._later(0.05, 6.0, self._go_on, name)
            case "join":
                if len(here) < 7:
                    cluster.start(f"j{self.kernel.events}")
            case "drain":
                self._drain(rng.choice(here))
            case "pass on":
                self._move_all(rng.choice(here))
            case "exodus":
                for name in rng.sample(here, min(len(here), rng.randint(2, 3))):
                    self.kernel.after(
                        0.7 * rng.random(), self._do_unless_healed, self._drain, (name,)
                    )
            case "deaf":
                cluster.note("deaf")
                for name in here:
                    cluster.network.cut("coordinator", name, lasting_s=rng.choice([0.5, 2.0]))
            case "fuse":
                cluster.kill_in_a_write(rng.choice(here), rng.randint(0, 12))
            case "power":
                name = rng.choice(here)
                cluster.lose_power(name)
                self._later(0.05, 5.0, cluster.start, name)
            case "disk full":
                name = rng.choice(here)
                cluster.fill_disk(name, rng.choice([0, 20, 100]))
                self._later(0.5, 8.0, cluster.fill_disk, name, None)
            case "ingest":
                client = rng.choice(cluster.clients)
                cluster.kill_node(client)
                self._later(0.05, 4.0, cluster.start_node, client)
            case "ingest hang":
                node = cluster.nodes[rng.choice(cluster.clients).name]
                cluster.note("hang", node.name)
                node.stop()
                self._later(0.05, 5.0, cluster.wake, node)
            case "echo":
                everybody = [*here, "coordinator", *nodes]
                cluster.note("echo")
                for way in permutations(everybody, 2):
                    cluster.network.repeat(*way, lasting_s=1.0)
            case "churn":
                self._injection({"echo": 1})
                for _ in range(4):
                    self._later(0.0, 1.5, self._injection, CHURN)
            case "coordinator":
                cluster.kill_coordinator()
                self._later(0.05, 4.0, cluster.start_coordinator)
            case "orphan":
                self._orphan(*among)
            case "hush":
                self._break("isolate", "coordinator", "")
            case _:
                ends = among or [*here, "coordinator", *nodes]
                one, other = rng.sample(ends, 2)
                self._break(kind, one, other)

    def _kill(self, name: str) -> None:
        self.cluster.kill(name)
        if self.kernel.rng.random() < 0.7:
            self._later(0.05, 5.0, self.cluster.start, name)

    def _go_on(self, name: str) -> None:
        """One that was taken for dead comes back, perhaps without hearing what that means for it."""
        rng = self.kernel.rng
        self.cluster.go_on(name)
        if rng.random() < 0.5:
            self.cluster.network.cut("coordinator", name, lasting_s=0.6)
            self.kernel.after(
                0.5 * rng.random(), self._do_unless_healed, self._injection, (SUDDEN,)
            )

    def _drain(self, name: str) -> None:
        self.cluster.drain(name)
        if self.kernel.rng.random() < 0.7:
            self._later(0.5, 8.0, self.cluster.start, name)

    def _rot(self) -> None:
        """A byte of a worker's shard rots, and the worker is started again: reading finds it."""
        here = [worker.name for worker in self.cluster.alive]
        if here:
            name = self._rots.choice(here)
            self.cluster.rot(name, self._rots)
            delay = 0.05 + 3.0 * self._rots.random()
            self.kernel.after(delay, self._do_unless_healed, self.cluster.start, (name,))

    def _pause(self) -> None:
        """The feed pauses for some time."""
        self.cluster.note("pause")
        for client in self.cluster.clients:
            client.pauses = True
        self._later(1.0, 10.0, self._feed)

    def _feed(self) -> None:
        self.cluster.note("feed")
        for client in self.cluster.clients:
            client.pauses = False

    def _move(self) -> None:
        """A worker is to give points to the others, and something may happen to any of them meanwhile."""
        rng, cluster = self._moves, self.cluster
        here = [worker.name for worker in cluster.alive]
        if len(here) < 2:
            return
        name, *others = rng.sample(here, len(here))
        if rng.random() < 0.2:
            cluster.note("deaf", name)
            cluster.network.cut("coordinator", name, lasting_s=0.5)  # the order may be lost
        if rng.random() < 0.6:
            self._move_all(name)
        else:
            to = tuple(sorted(others[: rng.randint(1, len(others))]))
            cluster.move_some(name, rng.randint(1, 60), to)

    def _move_all(self, name: str) -> None:
        """A worker is to leave its points to the others, and comes back some time after it has left."""
        deadline_s = self._moves.choice([2.0, 10.0, PATIENT_S, PATIENT_S])
        self.cluster.move_all(name, deadline_s)
        self._later(4.0, 12.0, self.cluster.start, name)

    def _orphan(self, giver: str, taker: str) -> None:
        """Who gives points dies, and who got them gives them on before that one is back."""
        cluster = self.cluster
        others = tuple(w.name for w in cluster.alive if w.name not in (giver, taker))
        if cluster.workers[giver].alive and others:
            cluster.kill(giver)
            give_on = (cluster.move_some, (taker, 1000, others))
            self.kernel.after(1.0 + self._moves.random(), self._do_unless_healed, *give_on)
            self.kernel.after(4.0, self._do_unless_healed, cluster.start, (giver,))

    def _on_batch(self, giver: str, taker: str) -> None:
        """A batch goes from one worker to another: a good moment for something to happen to one of them."""
        rng = self._moves
        if self._more_moving > 0 and not self._healed and rng.random() < 0.15:
            self._more_moving -= 1
            moving = self._theme.moving if self._theme is not None else {}
            injection = (moving or FAULTS_MOVING, (giver, taker))
            self.kernel.after(
                0.1 * rng.random() ** 2, self._do_unless_healed, self._injection, injection
            )

    def _break(self, kind: str, one: str, other: str) -> None:
        rng, cluster = self.kernel.rng, self.cluster
        ways = [(one, other), (other, one)]
        if kind == "isolate":
            rest = [worker.name for worker in cluster.alive if worker.name != one]
            ways = [(one, name) for name in rest] + [(name, one) for name in rest]
        elif rng.random() < 0.3:
            ways = ways[:1]
        lasting_s = rng.choice([0.0, 0.2, 2.0])
        cluster.note(kind, *(f"{a}>{b}" for a, b in ways))
        for way in ways:
            if kind == "cut":
                cluster.network.cut(*way, lasting_s)
            elif kind == "repeat":
                cluster.network.repeat(*way, lasting_s)
            else:
                cluster.network.block(*way)
        if kind in ("split", "isolate"):
            self._later(0.05, 8.0, self._unblock, ways)

    def _unblock(self, ways: list[tuple[str, str]]) -> None:
        for way in ways:
            self.cluster.network.unblock(*way)

    def _later(self, least: float, most: float, action: object, *args: object) -> None:
        """Do something after a time that is short more often than long; not after the end of the faults."""
        delay = least + (most - least) * self.kernel.rng.random() ** 2
        self.kernel.after(delay, self._do_unless_healed, action, args)

    def _do_unless_healed(self, action, args) -> None:  # type: ignore[no-untyped-def]
        if not self._healed:
            action(*args)
