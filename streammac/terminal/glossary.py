"""The words that status and views use, each in a sentence: ``streammac status --explain`` prints them."""

from __future__ import annotations

TERMS: tuple[tuple[str, str], ...] = (
    ("points in", "vectors that were accepted: stored by a worker and acknowledged"),
    (
        "dead letters",
        "records that could not be used, kept with the reason: `streammac dead-letters list`",
    ),
    ("duplicate", "came again after it had been stored, and was dropped"),
    ("expired", "dropped because the shards keep only so much (`store.retain_*`)"),
    ("dropped", "given up with workers that were removed with --drop-data"),
    ("damaged", "not as they were written, or gone from a worker's disk: see `streammac check`"),
    ("away", "points of workers that died or left, out of reach until these come back"),
    ("worker", "a process that stores a part of the points, its shard, and trains on them"),
    ("ingest node", "a process that reads feeds, checks points, and sends them to workers"),
    ("coordinator", "the process that knows who takes part; points do not pass through it"),
    ("supervisor", "`streammac up` itself: it starts processes that died again, within a budget"),
    ("alive", "the worker takes part"),
    ("draining", "it leaves in good order: what it holds goes on, nothing new comes"),
    ("left", "it ended in good order; lost: it died (crash) or fell silent (hang)"),
    ("share", "its part of the feed; faster workers get more"),
    ("busy", "share of its time in which it computes; the rest is waiting"),
    ("hops", "visits of submodels, copies and Z steps that it has done"),
    ("holds", "submodels that wait or train there now; e0 is the first block of the encoder"),
    ("submodel", "a part of the model that is trained by itself; submodels travel in blocks"),
    ("W step", "the blocks travel round the ring of workers, trained at each on its points"),
    ("Z step", "each worker improves the coordinates (codes) of its own points"),
    ("epoch", "one W step and one Z step"),
    ("view", "number of the ring's membership: it grows whenever somebody joins, leaves or dies"),
    (
        "objective",
        "error per point of the nested model in the last epoch: of reconstruction, or the loss",
    ),
    ("mu", "how strongly coordinates are drawn to what the encoder says; it grows over epochs"),
    ("violated", "share of coordinates that differ from the encoder's output; 0 in the end"),
    ("age", "epochs since the continuation in mu (re)started, at the beginning or after drift"),
    ("drift", "workers saw the error of new points grow"),
    ("version", "a model as it was published after an epoch"),
    ("promoted", "the version that users get: better than the one before by more than the noise"),
    ("quality", "share of true neighbours that codes find, for queries that are never trained on"),
    ("initial model", "the one from which training began"),
    ("ITQ, PCA, random", "usual ways to make codes, measured on the same points, to compare with"),
    ("held up", "share of time in which the feed waited because workers had no room"),
    ("restarts", "how often the supervisor started a process again, and how often it still may"),
    ("recovered", "time from a death to the first visit that the others finished after it"),
)
"""Term and meaning, in the order in which a reader meets them."""
