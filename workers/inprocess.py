"""A whole ring inside one process and one thread: real state machines, real learners, no sockets.

For notebooks and tests. It yields the very parameters that a ring of processes yields on the same
shards, and that the serial reference yields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streammac.models.base import Array, NestedModel
from streammac.models.local import VisitPlan
from streammac.models.signature import Signature
from streammac.ring.member_actions import Answer, Report, Send, TrainDone
from streammac.wire.messages import EpochPlan, MemberAddress, Resume, View
from workers.learner import Learner
from workers.snapshot import SnapshotSource
from workers.strategy import member_of
from workers.transports.inprocess import Hub, InProcessTransport


class InProcessRing:
    """Members by name, each with its shard.

    Parameters
    ----------
    model : NestedModel
        What is trained.
    shards : mapping of str to SnapshotSource
        The shard of each member.
    plan : VisitPlan
        How visits sample a shard.
    """

    def __init__(
        self, model: NestedModel, shards: Mapping[str, SnapshotSource], plan: VisitPlan
    ) -> None:
        hub = Hub()
        self.transports = {name: InProcessTransport(hub, name) for name in shards}
        self.learners = {name: Learner(name, model, shards[name], plan) for name in shards}
        some = next(iter(shards.values())).view()
        signature = Signature(some.dim, some.targets)
        addresses = {name: transport.address for name, transport in self.transports.items()}
        for transport in self.transports.values():
            transport.connect(addresses)
        self.members = {name: member_of(name, model, signature, plan.seed) for name in shards}
        self.reports: list[Report] = []

    def run(self, epochs: int) -> Mapping[str, Array]:
        """Train from nothing for so many epochs (the first makes the initial model)."""
        self.reports.clear()
        return self.adopt({}, 0, EpochPlan(fresh=True), epochs)

    def adopt(
        self, params: Mapping[str, Array], epoch: int, plan: EpochPlan, epochs: int
    ) -> Mapping[str, Array]:
        """Train from these parameters, whatever the members hold, up to so many epochs in all."""
        names = tuple(sorted(self.members))
        number = self.members[names[0]].view.number + 1
        view = View(number, tuple(MemberAddress(n, self.transports[n].address) for n in names))
        resume = Resume(number, epoch, plan, names, cold=True, tensors=dict(params))
        for name in names:
            self.members[name].epochs = epochs
            self._feed(name, [view, resume])
        while any(member.epoch.state != "resting" for member in self.members.values()):
            for name, transport in self.transports.items():
                self._feed(name, transport.receive())
        trained = self.members[names[0]].epoch.base
        assert trained is not None, "who rests has the model of the last epoch"
        return trained

    def _feed(self, name: str, events: Iterable[object]) -> None:
        queue = list(events)
        while queue:
            for action in self.members[name].handle(queue.pop(0)):  # type: ignore[arg-type]
                if isinstance(action, Send):
                    self.transports[name].send(action.to, action.message)
                elif isinstance(action, Report):
                    self.reports.append(action)
                elif isinstance(action, TrainDone):
                    queue.insert(0, action)
                elif not isinstance(action, Answer):
                    done = self.learners[name].do(action)
                    if done is not None:
                        queue.append(done)
