"""What is worth looking at in every test run: seeds that found a bug once, and mutations that are found quickly.

A seed means another story as soon as a story is made of other pieces. Each bug that was found is therefore a
mutation, too, and `python -m tests.simulation --mutations` tells which seeds find it today.
"""

from __future__ import annotations

REGRESSIONS: dict[int, str] = {
    75: "the visit of a leaving member did not show beside the copy that it was made on",
    142: "a late report, of a member taken for dead meanwhile, counted for a ring that it was not in",
    136: "a member that had not heard that it begins anew was asked for its copies",
}

QUICKLY_FOUND = (
    "old tokens",
    "all adopt",
    "dead on the itinerary",
    "no copies",
    "not frozen",
    "any copy",
    "the returned count",
    "one answer",
    "not durable",
    "refusal acknowledged",
    "nothing disowned",
    "marks forgotten",
)
"""Mutations that are looked at in every test run; a few seeds find each, whatever stories they tell."""
