"""When a worker is ready, for probes."""

from streammac.wire.reports import ShardCounts, WorkerReport
from workers.worker import unready


def test_a_worker_is_ready_as_long_as_it_stays_and_its_shard_takes_points():
    assert unready(WorkerReport()) == "", "what comes opens its shards"
    assert unready(WorkerReport(shard=ShardCounts())) == ""
    assert "takes no points" in unready(WorkerReport(shard=ShardCounts(refusing=True)))
    assert unready(WorkerReport(leaving=True)) == "it leaves"
