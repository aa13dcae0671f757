"""The dashboard of the model: does it get better, are its codes good, does it follow the feed."""

from __future__ import annotations

from monitoring.panels import Dashboard, Mark, Panel, Row, Steps, stat_of
from monitoring.queries import each, increase, of, quantile, rate, total
from streammac.telemetry import metrics as m

MARGIN: Steps = ((None, "red"), (0, "green"))

MODEL = of(m.QUALITY, 'method="model"')
BASELINES = of(m.QUALITY, 'method!~"model|initial"')
BEST_BASELINE = f"max({BASELINES})"
AGE = f"time() - {of(m.PUBLISHED)}"
EXAMINED = f"time() - {of(m.EXAMINED)}"

OVERVIEW = Row(
    "Overview",
    [
        stat_of(
            "Quality now",
            "Leading measure of the promoted version: held-out queries against the stored points.",
            "percentunit",
            MODEL,
        ),
        stat_of(
            "Above baselines",
            "Quality less that of the best baseline, on the same points.",
            "percentunit",
            f"max({MODEL}) - {BEST_BASELINE}",
            MARGIN,
        ),
        stat_of("Error now", "Error of the nested model per point.", "short", of(m.OBJECTIVE)),
        stat_of(
            "Violation",
            "Share of coordinates that differ from the forward pass; 0 when the constraints hold.",
            "percentunit",
            of(m.VIOLATED),
        ),
        stat_of("Drifts", "Drifts so far that most workers saw.", "short", of(m.DRIFTS)),
        stat_of("Version", "Model version that users get.", "short", of(m.PROMOTED)),
        stat_of("Age of the version", "Time since the newest version was published.", "s", AGE),
        stat_of(
            "Least balanced bit",
            "Entropy of the bit that is most often the same on stored points; 0: it tells nothing.",
            "percentunit",
            of(m.LEAST_ENTROPY),
            ((None, "red"), (0.3, "green")),
        ),
    ],
)

TRAINING = Row(
    "Training",
    [
        Panel(
            "Error",
            "Per point: of the nested model, and of the penalised objective that an epoch lowers. Steps up come with "
            "drifts and restarts of the continuation.",
            "short",
            [(of(m.OBJECTIVE), "nested model"), (of(m.PENALISED), "penalised objective")],
        ),
        Panel(
            "Freshness",
            "From the acknowledgement of the oldest point that is new in a version to that version, and how long the "
            "oldest one has been waiting now. training.refresh bounds it.",
            "s",
            [
                (quantile(0.5, m.FRESHNESS), "half of the versions"),
                (quantile(0.95, m.FRESHNESS), "95 % of the versions"),
                (of(m.UNPUBLISHED), "waiting now"),
                (of(m.REFRESH), "promised"),
            ],
        ),
        Panel(
            "Constraint violation",
            "Share of coordinates that differ from the forward pass, z != h(x). Falls to 0 as the penalty grows.",
            "percentunit",
            [(of(m.VIOLATED), "share of coordinates")],
        ),
        Panel(
            "Penalty",
            "mu of the continuation: it grows from epoch to epoch, and drops back when the data drifts or has grown.",
            "short",
            [(of(m.MU), "mu")],
        ),
        Panel(
            "The family's own sums",
            "What else the model's family tells of training, per point: of a net its loss, and the share told right.",
            "short",
            [(of(m.NAMED), "{{name}}")],
        ),
        Panel(
            "Epochs",
            "Epochs that the whole ring finishes per second.",
            "cps",
            [(total(rate(of(m.EPOCHS))), "epochs")],
        ),
        Panel(
            "Points",
            "Points stored, those of them that are held out to measure with, and those that are too far from the "
            "others to be trained on.",
            "short",
            [
                (total(each(m.SHARD_POINTS)), "stored"),
                (total(each(m.SHARD_HELD_OUT)), "held out"),
                (of(m.LEFT_OUT), "left out"),
            ],
        ),
        Panel(
            "Continuation begun anew",
            "Restarts of the continuation, because the data drifted or has grown.",
            "short",
            [(total(increase(of(m.EVENTS, 'kind="restart"'))), "restarts")],
            "bars",
        ),
    ],
)

CODES = Row(
    "Codes",
    [
        Panel(
            "Quality",
            "Leading measure, held-out queries against the stored points: the promoted version beside the initial "
            "model, and baselines of the same length, fitted on the same points. The points follow the feed: "
            "a drift moves all lines.",
            "percentunit",
            [(of(m.QUALITY), "{{method}}")],
            width=12,
        ),
        Panel(
            "All measures",
            "Of the promoted version; of codes recall and precision, of nets accuracy and the like. "
            "Beside each half the width of its 95 % confidence interval.",
            "percentunit",
            [
                (of(m.MEASURES, 'method="model"'), "{{measure}}"),
                (of(m.MARGINS, 'method="model"'), "{{measure}} ±"),
            ],
            width=6,
            most=1,
        ),
        Panel(
            "Above the best baseline",
            "Quality less that of the best baseline. Falls below zero while a model has not caught up with a drift.",
            "percentunit",
            [(f"max({MODEL}) - {BEST_BASELINE}", "model less best baseline")],
            width=6,
            least=None,
        ),
        Panel(
            "Entropy of the bits",
            "1: a bit is on for half of the points. The least balanced bit at 0 is constant, and wasted.",
            "percentunit",
            [(of(m.ENTROPY), "mean over bits"), (of(m.LEAST_ENTROPY), "least balanced bit")],
            width=6,
            most=1,
        ),
        Panel(
            "Correlation of the bits",
            "Of two bits, without its sign. Two bits at 1 say the same, and one of them is wasted.",
            "percentunit",
            [(of(m.CORRELATION), "mean over pairs"), (of(m.LARGEST_CORRELATION), "largest")],
            width=6,
            most=1,
        ),
    ],
)

FEED = Row(
    "The feed",
    [
        Panel(
            "Error of new points",
            "Mean error of the points that entered last, before anything was trained on them (of codes the "
            "reconstruction error, of nets the loss), beside that on all points. When the feed drifts the new points "
            "stand out, until they are learned.",
            "short",
            [(each(m.ENTERING_ERROR), "new at {{name}}"), (of(m.OBJECTIVE), "all points")],
            width=8,
        ),
        Panel(
            "Prequential",
            "How the models did on new points before anything was trained on them, of the newest points and overall: "
            "of classes accuracy and loss, of numbers squared error and loss, of codes the reconstruction error.",
            "short",
            [(of(m.PREQUENTIAL), "{{name}}, {{span}}")],
            width=8,
        ),
        Panel(
            "Drift",
            "Alarms of single workers, and drifts that most of them saw: then the continuation begins anew.",
            "short",
            [
                (total(increase(of(m.EVENTS, 'kind="drift"'))), "alarms of workers"),
                (total(increase(of(m.DRIFTS))), "drifts"),
            ],
            "bars",
            width=8,
        ),
    ],
)

VERSIONS = Row(
    "Versions",
    [
        Panel(
            "Versions",
            "The newest version, and the one that users get: not the newest when that is worse on held-out points.",
            "short",
            [(of(m.MODEL_VERSION), "newest"), (of(m.PROMOTED), "promoted")],
        ),
        Panel(
            "Age of the newest version",
            "Time since a version was published, and since it was last found that there is none to publish.",
            "s",
            [(AGE, "age"), (EXAMINED, "examined")],
        ),
        Panel(
            "Promoted and kept back",
            "Versions that were measured: promoted ones, and ones that are not better by more than the noise.",
            "short",
            [
                (
                    total(increase(of(m.EVENTS, 'kind=~"promoted|kept_back"')), "kind"),
                    "{{kind}}",
                )
            ],
            "bars",
        ),
    ],
)

DRIFTED = increase(of(m.DRIFTS))
RESTARTED = increase(of(m.EVENTS, 'kind="restart"'))

MARKS = [
    Mark("Drift", f"{DRIFTED} > 0", "orange"),
    Mark("Continuation begun anew", f"{RESTARTED} > 0", "purple"),
]

DASHBOARD = Dashboard(
    "streammac-learning",
    "streammac: learning",
    "Whether the model gets better, whether its codes are good, and whether it follows the feed.",
    [OVERVIEW, TRAINING, CODES, FEED, VERSIONS],
    MARKS,
)
