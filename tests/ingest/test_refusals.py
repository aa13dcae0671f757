"""When a feed's refused records are worth a warning."""

from __future__ import annotations

import pytest

from ingest.records import Refused
from ingest.refusals import ENOUGH, KINDS, Refusals


def letters(count, reason="column 1: expected a number, got 'a'"):
    return [Refused(b"", reason)] * count


@pytest.mark.parametrize(
    ("records", "refused", "ended", "said"),
    [
        (ENOUGH, ENOUGH // 2 + 1, False, True),
        (ENOUGH, ENOUGH // 2, True, False),
        (ENOUGH - 1, ENOUGH - 1, False, False),
        (1, 1, True, True),
        (0, 0, True, False),
    ],
)
def test_more_than_half_of_enough(records, refused, ended, said):
    refusals = Refusals()
    refusals.count("f", records, letters(refused))
    assert bool(refusals.said(ended=ended)) == said


def test_what_was_said_stays_as_it_was_and_is_logged_once(caplog):
    refusals = Refusals()
    refusals.count("f", ENOUGH, letters(ENOUGH))
    said = refusals.said(ended=False)
    refusals.count("f", 9 * ENOUGH, letters(ENOUGH, "x: NaN or infinite"))
    assert refusals.said(ended=True) == said
    assert caplog.text.count("above all: column 1") == 1


def test_the_most_frequent_kind_of_reason_is_told_and_kinds_are_bounded():
    refusals = Refusals()
    refusals.count("f", 3, [*letters(1, "x: NaN or infinite"), *letters(2)])
    for i in range(10 * KINDS):
        refusals.count("f", 1, letters(1, f"{i!r}: unknown field"))
    (said,) = refusals.said(ended=True)
    assert said.endswith("above all: column 1: expected a number, got 'a'")
    assert len(refusals._seen["f"].kinds) == KINDS
