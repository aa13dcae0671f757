"""Late targets under seeded faults: nothing is lost or there twice, and what would be is found."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from ingest.late_targets import LateTargets
from ingest.waiting_room import Joined, WaitingRoom
from streammac.delivery.ledger import Ledger
from tests.ingest.late_story import tell

FOUND_A_BUG = (
    9,  # a target that came again was given to the next point of its key
    45,  # a point that came again, when its key stood for another one, waited again
    53,  # the same, and its time was up
)


@pytest.mark.parametrize("seeds", [range(100, 130), FOUND_A_BUG], ids=["new", "found a bug"])
def test_every_point_is_stored_once_or_told_of_and_every_target_used_once_or_counted(seeds):
    for seed in seeds:
        tell(seed)


def _forgets(what):
    apply = WaitingRoom.apply

    def forgetful(room, record):
        apply(room, record)
        getattr(room, what).clear()

    return patch.object(WaitingRoom, "apply", forgetful)


def _does_not_write_what_was_joined():
    write = Ledger.write
    return patch.object(
        Ledger,
        "write",
        lambda own, records: write(own, [r for r in records if not isinstance(r, Joined)]),
    )


MUTATIONS = {
    "expired points may have no dead letter": lambda: _forgets("untold"),
    "points are not known again": lambda: _forgets("gone"),
    "targets are not known again": lambda: _forgets("used"),
    "batches are not sent again": lambda: patch.object(LateTargets, "resume", lambda late: []),
    "batches are forgotten before they are settled": lambda: patch.object(
        LateTargets,
        "_is_settled",
        property(lambda late: lambda batch_id: True, lambda late, value: None),
        create=True,
    ),
    "what was joined is not on the disk": _does_not_write_what_was_joined,
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_rules_find_a_bug(name):
    with MUTATIONS[name]():
        for seed in range(1, 150):
            try:
                tell(seed)
            except Exception:  # a bug may show as anything
                return
    pytest.fail("not found")
