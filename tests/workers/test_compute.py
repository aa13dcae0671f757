import gc
import threading

import numpy as np
import zmq

from streammac.models.arrays import ArrayShard
from streammac.models.local import VisitPlan
from streammac.ring.member_actions import OpenEpoch
from streammac.wire.messages import EpochPlan
from tests.patience import PATIENCE_S
from tests.ring.tally import TallyModel
from workers.compute import ComputeThread
from workers.learner import Learner


def test_who_waits_for_its_end_has_something_else_to_do_meanwhile():
    begun, go_on = threading.Event(), threading.Event()

    def build(cancelled):
        begun.set()
        go_on.wait(PATIENCE_S)
        return Learner(
            "w1",
            TallyModel(),
            ArrayShard(np.zeros((1, 2)), TallyModel().coordinate_shape()),
            VisitPlan(),
        )

    calls = []

    def meanwhile():
        calls.append(1)
        if len(calls) == 2:
            go_on.set()

    with zmq.Context() as context:
        compute = ComputeThread(context, build)
        compute.start()
        assert begun.wait(PATIENCE_S)
        assert compute.stop(PATIENCE_S, meanwhile)
    assert len(calls) >= 2


def test_a_result_that_comes_when_the_loop_has_ended_is_no_failure():
    go_on, made = threading.Event(), threading.Event()

    class Slow(TallyModel):
        def prepare(self):
            made.set()

    shard = ArrayShard(np.zeros((1, 2)), TallyModel().coordinate_shape())

    def build(cancelled):
        go_on.wait(PATIENCE_S)
        return Learner("w1", Slow(), shard, VisitPlan())

    context = zmq.Context()
    compute = ComputeThread(context, build)
    compute.start()
    assert not compute.stop(0.0, lambda: None)
    threading.Timer(0.1, go_on.set).start()
    context.term()  # waits for the thread's socket
    assert made.wait(PATIENCE_S), "the thread's failure would have ended this process"


def test_what_is_loaded_is_passed_over_by_the_collector():
    gc.unfreeze()  # other tests have run such threads
    with zmq.Context() as context:
        shard = ArrayShard(np.zeros((1, 2)), TallyModel().coordinate_shape())
        compute = ComputeThread(context, lambda _: Learner("w1", TallyModel(), shard, VisitPlan()))
        compute.start()
        compute.submit(OpenEpoch(1, 0, EpochPlan(fresh=True), {}))
        compute.results.get(timeout=PATIENCE_S), compute.results.get(timeout=PATIENCE_S)
        assert compute.stop(PATIENCE_S, lambda: None)
    assert gc.get_freeze_count() > 10_000
    gc.unfreeze()


def test_a_thread_that_was_never_started_ends_at_once():
    with zmq.Context() as context:
        assert ComputeThread(context, lambda _: None).stop(10.0, lambda: None)


def test_a_model_is_prepared_when_the_learner_is_there_and_before_it_has_anything_to_do():
    """In a ring, a block would wait for one worker's imports after the other's."""
    posted = threading.Event()

    class Slow(TallyModel):
        prepared = False

        def prepare(self):
            self.prepared = posted.wait(PATIENCE_S)

    model = Slow()
    shard = ArrayShard(np.zeros((1, 2)), model.coordinate_shape())
    with zmq.Context() as context:
        compute = ComputeThread(context, lambda _: Learner("w1", model, shard, VisitPlan()))
        compute.start()
        assert isinstance(compute.results.get(timeout=PATIENCE_S), Learner)
        posted.set()
        compute.submit(OpenEpoch(1, 0, EpochPlan(fresh=True), {}))
        assert compute.results.get(timeout=PATIENCE_S).done is None
        assert model.prepared
        assert compute.stop(PATIENCE_S, lambda: None)
