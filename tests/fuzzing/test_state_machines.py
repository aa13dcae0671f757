"""Hostile values that pass the codec do no harm to what takes them: no state machine raises, and each goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from ingest.ingest_queue import Delivery, IngestQueue
from ingest.pushes import Pushes
from streammac.averaging import AveragingMember
from streammac.consensus.rules import Threshold
from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.coordinator_actions import Tell
from streammac.coordinator.failure_detector import CAP_S
from streammac.coordinator.status import status
from streammac.delivery.receiver import Receiver
from streammac.models.base import Block
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.linear_model import LinearModel
from streammac.models.signature import Signature
from streammac.ring.admission import Drop
from streammac.ring.member import Member
from streammac.ring.member_actions import GradientStep, GradientStepDone, TrainDone
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.wire.codec import Message, WireError, decode, encode
from streammac.wire.messages import (
    Credit,
    DrainRequest,
    EpochPlan,
    Heard,
    ModelState,
    Offer,
    OpenSession,
    Points,
    Push,
    Pushed,
    Register,
    Resume,
    Shutdown,
    StatusReply,
    StreamSchema,
    Token,
    View,
    Wake,
)
from streammac.wire.status import from_json, to_json
from tests.fuzzing.values import hostile
from tests.ring.net import addresses, begin
from tests.ring.tally import TallyModel
from tests.wire.test_codec import KINDS
from workers.shards import WorkerShards

MESSAGES = 1500
LIFE = 7


def arriving(kinds: list[type[Message]], seed: int, count: int = MESSAGES) -> Iterator[Message]:
    """Yield so many hostile messages that pass the codec."""
    rng = random.Random(seed)
    while count:
        message = hostile(rng.choice(kinds), rng, rng.choice((0.0, 0.02, 0.1, 0.4)))
        try:
            yield decode([bytes(frame) for frame in encode(message)])
        except WireError:
            continue
        count -= 1


@pytest.mark.parametrize("seed", range(3))
def test_the_coordinator_goes_on(seed: int) -> None:
    core = Coordinator(Settings.model_validate({"cluster": {"workers": 1}}), "c")
    rng, now = random.Random(seed), 0.0
    kinds = [kind for kind in KINDS if kind not in (Shutdown, DrainRequest)]
    for message in arriving([*kinds, *[Register] * 10], seed):
        now += rng.choice((0.0, 0.01, 0.3))
        for order in core.handle(b"%d" % rng.randrange(20), message, now) + core.tick(now):
            if isinstance(order, Tell):
                decode([bytes(frame) for frame in encode(order.message)])
    told = from_json(to_json(status(core)))
    assert decode([bytes(f) for f in encode(StatusReply(to_json(told)))])
    for _ in range(100):
        now += CAP_S / 10
        core.tick(now)
    assert core.membership.of("worker") == []
    good = Register("worker", "w9", 1, 1, "h", {"ring": "tcp://h:1", "data": "tcp://h:2"}, "a")
    core.handle(b"w9", good, now)
    assert [peer.name for peer in core.membership.of("worker")] == ["w9"]


@pytest.mark.parametrize("seed", range(3))
def test_a_worker_goes_on_storing(seed: int, tmp_path: Path) -> None:
    settings, now = Settings(), 0.0
    shards = WorkerShards("w1", RunDirectory(tmp_path), settings, StreamSchema(4, "float32"))
    receiver: Receiver[int] = Receiver(LIFE, 1 << 20, shards)
    for message in arriving([OpenSession, Points, Points, Points], seed, 600):
        now += 0.01
        if isinstance(message, OpenSession):
            message = replace(message, incarnation=LIFE, session=message.session % 1000)
        elif message.sender in receiver.sessions:
            message = replace(message, session=receiver.sessions[message.sender].number)
        for _, answer in receiver.take([(0, message)], now):
            decode([bytes(frame) for frame in encode(answer)])
    for shard in shards:
        assert np.isfinite(shard.view().x(slice(None))).all()
    before = shards.counts().points
    good = Points("good", 1, 2, False, {"x": np.ones((3, 4), np.float32)}, (), "good", 1)
    ((_, credit), (_, ack)) = receiver.take([(0, OpenSession("good", 1, LIFE)), (0, good)], now)
    assert (credit, ack.outcome) == (Credit(1, 1 << 20), "stored")
    assert shards.counts().points == before + 3
    shards.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_member_goes_on_training(seed: int) -> None:
    member = Member("w1", TallyModel(), Signature(2), seed=0)
    begin(member, ["w1", "w2"])
    before = (member.view, member.epoch.number, member.epoch.state)
    for message in arriving([Token, ModelState, Wake], seed):
        member.handle(message)
    assert (member.view, member.epoch.number, member.epoch.state) == before


@pytest.mark.parametrize("seed", range(3))
def test_a_member_goes_on_averaging(seed: int) -> None:
    rng, model = random.Random(seed), ConsensusTraining(LinearModel(classes=3))
    signature = Signature(2, 1)
    init = Block("init", 1)
    base = model.end_lap(init, {}, model.start(init, signature, {}, 0), 0)
    member = AveragingMember("w1", model, signature, seed=0, rule=Threshold())
    names, plan = ("w1", "w2", "w3"), EpochPlan(groups=3, iterations=5)
    member.handle(View(1, addresses(names)))
    actions = member.handle(Resume(1, 4, plan, names, cold=True, tensors=base))
    before = (member.view, member.epoch.number, member.epoch.state)
    for message in arriving([Offer, Heard], seed):
        if rng.random() < 0.9:  # else most are of another view
            message = replace(message, view=1, epoch=4, name=rng.choice(names))
        actions += member.handle(message)
    assert (member.view, member.epoch.number, member.epoch.state) == before
    assert member.dropped[Drop.MISFIT] > 100
    # whatever it believes of the others: when a view comes it goes on alone
    member.handle(View(2, addresses(names)))
    (block,) = member.epoch.holding
    actions += member.handle(Resume(2, 4, plan, names, holders={block: "w1"}))
    while not any(isinstance(action, TrainDone) for action in actions):
        step = next(a for a in reversed(actions) if isinstance(a, GradientStep))
        actions += member.handle(GradientStepDone(step, step.w + 1, 10))


@pytest.mark.parametrize("seed", range(3))
def test_an_ingest_node_goes_on_taking_pushes(seed: int) -> None:
    answered: list[Pushed] = []
    settings = Settings()
    queue = IngestQueue(settings.ingest.record_bytes, lambda: None)
    queue.agree(StreamSchema(4, "float32"))
    taken: list[Delivery] = []
    pushes = Pushes(queue, taken.append, lambda _, pushed: answered.append(pushed), settings)
    for message in arriving([Push], seed):
        pushes.take(b"c", message, has_room=True)
    assert all(np.isfinite(delivery.parts.points.x).all() for delivery in taken)
    good = Push("good", 1, 1, {"x": np.ones((3, 4), np.float32)})
    pushes.take(b"c", good, has_room=True)
    assert len(taken[-1].parts.points) == 3
