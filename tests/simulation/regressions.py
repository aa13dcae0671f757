"""Seeds that are worth keeping: those that found a bug once, and one for each mutation.

A seed means another story as soon as a story is made of other pieces. Each bug that was found is therefore a
mutation, too, and `python -m tests.simulation --mutations` tells which seeds find it today.
"""

from __future__ import annotations

REGRESSIONS: dict[int, str] = {
    68: "a member that had not heard that it begins anew was asked for its copies",
    231: "a late report, of a member taken for dead meanwhile, completed an epoch of another ring",
    554: "the visit of a leaving member did not show beside the copy that it was made on",
    1147: "the report of a member that was gone completed an epoch that the ring went through once more",
}

FINDERS: dict[str, int] = {
    "old tokens": 0,
    "all adopt": 0,
    "trained again": 19,
    "no copies": 0,
    "any copy": 2,
    "one answer": 0,
    "view not persisted": 3,
}
"""Mutations that are looked at in every test run, and seeds that find them."""
