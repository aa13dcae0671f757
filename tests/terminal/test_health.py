from typing import Any

from streammac.terminal.health import Trend, answers, recent_events

WORKER = {"state": "alive", "busy_share": 0.5, "train_s": 1.0, "z_step_s": 1.0}
STATUS: dict[str, Any] = {
    "epoch": 3,
    "points": {"accepted": 100},
    "workers": [WORKER | {"name": f"w{n}"} for n in (1, 2, 3)],
    "ingest": [{"name": "i1", "state": "alive", "rate": 50.0, "blocked_s": 0.0}],
}


def told(status: dict[str, Any], trend: Trend | None = None) -> list[str]:
    return [f"{answer.tone}: {answer.text}" for answer in answers(status, trend)]


def supervisor(**process: Any) -> dict[str, Any]:
    one = {"name": "w1", "state": "running", "restarts": 0} | process
    return {"supervisor": {"processes": [one], "restarts": one["restarts"]}}


def test_all_is_well() -> None:
    assert told(STATUS) == [
        "good: training",
        "good: keeps up, 50 points/s",
        "good: balanced",
        "good: no failures",
    ]


def test_whether_it_trains() -> None:
    assert told(STATUS | {"stale": True})[0] == "bad: coordinator away"
    assert told(STATUS | {"workers": []})[0] == "bad: no workers"
    assert told(STATUS | {"epoch": 0})[0] == "warn: not training yet"
    waits = {"waiting": "waiting for workers: 1 of 3 are here"}
    assert told(STATUS | waits)[0] == "warn: waiting for workers: 1 of 3 are here"
    assert told(STATUS | waits | {"workers": []})[0].startswith("bad: waiting for workers")
    assert told(STATUS | waits | {"stale": True})[0] == "bad: coordinator away"
    assert told(STATUS | {"waiting": None})[0] == "good: training"


def test_a_stall_is_told_by_its_length() -> None:
    trend = Trend()
    for second in range(31):
        trend.add(STATUS | {"epoch": min(second, 10)}, float(second))
    assert told(STATUS, trend)[0] == "warn: no epoch for 20 s"


def test_slow_epochs_are_told_in_seconds() -> None:
    trend = Trend()
    for second in range(13):
        trend.add(STATUS | {"epoch": second // 4}, float(second))
    assert told(STATUS, trend)[0] == "good: training, an epoch in 4.0 s"


def test_whether_the_feed_keeps_up() -> None:
    node = STATUS["ingest"][0]
    assert told(STATUS | {"ingest": []})[1] == "warn: no ingest node"
    assert told(STATUS | {"ingest": [node | {"finished": True}]})[1] == "good: feed has ended"
    trend = Trend()
    trend.add(STATUS, 0.0)
    trend.add(STATUS | {"ingest": [node | {"blocked_s": 5.0}]}, 10.0)
    assert told(STATUS, trend)[1] == "warn: held up 50%, 50 points/s"


def test_who_is_slow() -> None:
    slow = [WORKER | {"name": "w1"}, WORKER | {"name": "w2", "train_s": 5.0}]
    assert told(STATUS | {"workers": slow})[2] == "warn: w2 slow, 1.5 x mean"
    assert told(STATUS | {"workers": slow[:1]})[2] == "none: nothing to compare"


def test_what_failed() -> None:
    lost = [WORKER | {"name": f"w{n}", "state": "lost"} for n in range(5)]
    assert told(STATUS | {"workers": lost})[3] == "bad: lost: w0, w1, w2 and 2 more"
    assert told(STATUS | supervisor(state="down", restarts=10))[3] == "bad: down: w1"
    again = STATUS | supervisor(restarts=2)
    assert told(again)[3] == "warn: 2 died, all back"
    recovered = {"failures": {"crash": 3, "hang": 1}, "recovery": {"last_s": 0.25}}
    assert told(again | recovered)[3] == "warn: 4 died, recovered in 0.2 s"


def test_events_of_coordinator_and_supervisor_are_in_order() -> None:
    def events(*times: float) -> list[dict[str, float]]:
        return [{"time": time} for time in times]

    status = {"events": events(1, 4), "supervisor": {"events": events(2, 3)}}
    assert [event["time"] for event in recent_events(status, 3)] == [2, 3, 4]
