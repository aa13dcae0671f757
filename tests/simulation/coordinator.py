"""A process round the real `Coordinator`: what `workers.coordinator.process` does with sockets, files and threads.

It remembers across its restarts what the real one has on disk: the durable state, and the published versions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from msgspec.structs import asdict

from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.coordinator_actions import Action, Finished, Note, Tell
from streammac.coordinator.epoch_reports import EpochResult
from streammac.coordinator.events import Event
from streammac.coordinator.progress import resumed
from streammac.coordinator.status import status
from streammac.coordinator.verdict import Verdict
from streammac.settings.schema import Settings
from streammac.wire.messages import EpochReport, Heartbeat, Register, Resume, Stop, View
from tests.simulation.kernel import Kernel, Process
from tests.simulation.network import Network
from tests.simulation.ring_rules import RingRules

ADDRESS = "coordinator#0"
"""All coordinators listen there, one after the other."""
TURN_S = 0.1
SAVE_S = 1.0
ADOPTING = 0.1
"""Share of the published epochs after which the ring is to go on from another model, where a story tells of that."""
PUBLISH_S = 0.3
"""Longest time that it takes to publish a version."""
VERDICT_S = 3.0
"""Longest time that it takes to judge a continuation."""
BACK_S = 0.2
"""A connection that broke and is not back after so long belongs to a process that is gone."""
CALM = (Heartbeat, Register)
"""Messages that come all the time, and are no news."""


@dataclass(slots=True)
class Files:
    """What is on the coordinator's disk."""

    state: dict[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    following: dict[str, Any] = field(default_factory=dict)
    """Epoch and plan that follow these parameters."""
    version: int = 0
    verdicts: Random | None = None
    """Chance of verdicts on continuations, None: there are none."""


class CoordinatorProcess(Process):
    """One coordinator process.

    Parameters
    ----------
    kernel, network
        The simulated machine room.
    settings : Settings
        The cluster's.
    files : Files
        What former ones have left.
    rules : RingRules
        Look at everything that it decides.
    watch : callable
        Returns whether the connection to an address holds, as the kernel of its host sees it.
    """

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        settings: Settings,
        files: Files,
        rules: RingRules,
        watch: Callable[[str], bool],
    ) -> None:
        super().__init__(kernel, "coordinator", 0)
        self.network = network
        self.files = files
        self.rules = rules
        self.watch = watch
        state = resumed(copy.deepcopy(files.state), files.following)
        self.core = Coordinator(settings, "simulated", state, files.params)
        self.core.progress.published = (files.version, files.version, False)
        rules.adopting = None
        self.core.events.clock = lambda: kernel.now
        self._saved_at = 0.0
        self._saved = self.core.fences
        self._broken: dict[tuple[str, int], float] = {}
        self._wanted: EpochResult | None = None
        self._publishing = False
        network.attach(self)
        self.after(0.0, self._turn)

    def receive(self, sender: str, message: Any) -> None:
        if not isinstance(message, CALM):
            self.say("got", sender, message)
        done = self.core.epoch_reports.done
        orders = self.core.handle(sender.encode(), message, self.kernel.now)
        if isinstance(message, EpochReport):
            self.rules.reported(message, self.core.epoch_reports, done)
        self.give_order(orders)

    def _turn(self) -> None:
        now = self.kernel.now
        self._look_at_connections(now)
        expected = set(self.core.views.expected)
        orders = self.core.tick(now)
        for name in expected - self.core.views.expected:  # they have not come back in time
            self.rules.parted(name, self.files.state["ring"][name])
        self.give_order(orders)
        if now - self._saved_at >= SAVE_S:
            self._saved_at = now
            self._save()
        self.after(TURN_S, self._turn)

    def _look_at_connections(self, now: float) -> None:
        for peer in list(self.core.membership.peers.values()):
            process = (peer.name, peer.incarnation)
            if not peer.here or self.watch(peer.identity.decode()):
                self._broken.pop(process, None)
                continue
            since = self._broken.setdefault(process, now)
            if now - since > BACK_S:
                del self._broken[process]
                self.give_order(self.core.disconnected(*process, since, now))

    def give_order(self, orders: list[Action]) -> None:
        """Do what the state machine says."""
        if orders:
            self._save_the_fences()
        for order in orders:
            match order:
                case Tell():
                    if isinstance(order.message, View):
                        self.rules.announced(order.message)
                    elif isinstance(order.message, Resume):
                        core = self.core
                        self.rules.resumed(order.message, core.views.change, core.membership)
                    self.network.send(self, order.identity.decode(), "control", order.message)
                case Note():
                    self._note(order.event)
                case Finished():
                    self.rules.finished(order.result)
                    self._wanted = order.result
                    if not self._publishing:
                        self._publishing = True
                        self.after(PUBLISH_S * self.kernel.rng.random(), self._publish)

    def _save_the_fences(self) -> None:
        if self.core.fences != self._saved:
            self._save()
            self._saved = self.core.fences

    def _note(self, event: Event) -> None:
        self.say(event.kind, event.name, event.text)
        if event.kind in ("lost", "left"):
            self.rules.parted(event.name, self.core.membership.peers[event.name].incarnation)

    def _publish(self) -> None:
        result, self._wanted = self._wanted, None
        self._publishing = False
        assert result is not None
        self.files.version += 1
        self.files.params = result.params
        self.files.following = {"epoch": result.epoch + 1, "plan": asdict(result.following)}
        self.give_order(self.core.published(self.files.version, self.files.version, ""))
        chance = self.files.verdicts
        if chance is not None and chance.random() < ADOPTING:
            self.after(VERDICT_S * chance.random() ** 2, self._pass_a_verdict, result)

    def _pass_a_verdict(self, result: EpochResult) -> None:
        mark = {"mark": np.array([self.files.version], np.int64)}
        restart, tensors = result.plan.restart, {**result.params, **mark}
        verdict = Verdict(restart, 0, False, tensors, newest=1)
        orders = self.core.judged(verdict, self.kernel.now)
        if self.core.progress.adoption is verdict:
            self.rules.adopting = (restart, self.files.version)
        self.give_order(orders)

    def _save(self) -> None:
        self.files.state = copy.deepcopy(self.core.durable())

    def status(self) -> dict[str, Any]:
        """Return what people see."""
        return status(self.core)

    def end(self) -> None:
        """End in good order."""
        for peer in self.core.membership.peers.values():
            if peer.here:
                self.network.send(self, peer.identity.decode(), "control", Stop(""))
