"""Seeds that are worth keeping: those that found a bug once, and one for each mutation.

A seed means another story as soon as a story is made of other pieces. Each bug that was found is therefore a
mutation, too, and `python -m tests.simulation --mutations` tells which seeds find it today.
"""

from __future__ import annotations

REGRESSIONS: dict[int, str] = {
    75: "the visit of a leaving member did not show beside the copy that it was made on",
    142: "a late report, of a member taken for dead meanwhile, counted for a ring that it was not in",
    136: "a member that had not heard that it begins anew was asked for its copies",
}

FINDERS: dict[str, int] = {
    "old tokens": 1,
    "all adopt": 0,
    "dead on the itinerary": 2,
    "leavers struck off": 75,
    "no copies": 0,
    "not frozen": 0,
    "any copy": 0,
    "the returned count": 1,
    "one answer": 0,
    "view not persisted": 4,
    "impatient restart": 4,
    "late reports": 142,
    "old answers": 136,
    "not durable": 6,
    "refusal acknowledged": 6,
    "nothing disowned": 1,
    "marks forgotten": 1,
    "withdrawals forgotten": 3,
    "withdrawals not counted": 1,
}
"""Mutations that are looked at in every test run, and seeds that find them."""
