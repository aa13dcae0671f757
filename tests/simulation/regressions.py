"""Seeds that are worth keeping: those that found a bug once, and mutations that any few seeds find.

A seed means another story as soon as a story is made of other pieces. Each bug that was found is therefore a
mutation, too, and `python -m tests.simulation --mutations` tells which seeds find it today.
"""

from __future__ import annotations

REGRESSIONS: dict[int, str] = {
    75: "the visit of a leaving member did not show beside the copy that it was made on",
    95: "an old heartbeat was believed, which the simulated network may not bring",
    136: "a member that had not heard that it begins anew was asked for its copies",
    142: "a late report, of a member taken for dead meanwhile, counted for a ring that it was not in",
    242: "a member that is an epoch behind counted on one that died and came back meanwhile",
    272: "a worker that hung while it left was never let go, and waited for the end of its time",
    565: "a member that leaves without having heard that it began anew was taken for one of the ring",
    20054: "a coordinator that was started again waited for workers that were about to leave",
    20227: "withdrawn points that were cut off at the end of a shard were counted as damaged",
    41058: "the old copies of one that leaves carried the ring back, over epochs whose model was known",
    60008: "what only one had, because the others were gone, counted as more hops than one when it was gone, too",
    71096: "a worker that began to move points was taken for one that is through, at a word that was older, and waited",
    90096: "the routes to a worker that moves its points were lost, and not told again",
    100114: "reports of more epochs than are awaited came before those of another worker",
    6130: "a late copy of a batch that had moved on to a third worker was stored again",
    151228: "a dozen workers needed longer than the story waited for them",
    180869: "one that had not woken was behind those who train alone, and began an epoch that was over",
    180238: "thirteen workers that were roused needed longer than the story waited for them",
}

FOUND_SOON = (
    "old tokens",
    "all adopt",
    "no copies",
    "not frozen",
    "old layout",
    "any copy",
    "the returned count",
    "one answer",
    "view not persisted",
    "nothing revoked",
    "owners forgotten",
    "moves forgotten",
    "averaged one-sidedly",
)
"""Mutations that are looked at in every test run: one of the first few seeds finds them, whatever stories there are."""
