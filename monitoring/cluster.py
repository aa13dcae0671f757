"""The dashboard of the cluster: who is there, where points, time and credit go, what fails and how it recovers."""

from __future__ import annotations

from monitoring.panels import ALARM, Dashboard, Mark, Panel, Row, stat_of
from monitoring.queries import about, each, increase, mean, of, quantile, rate, total
from streammac.telemetry import metrics as m

EPOCH_MEAN = (
    f"{total(rate(of(m.EPOCH_SECONDS, suffix='_sum')))}"
    f" / {total(rate(of(m.EPOCH_SECONDS, suffix='_count')))}"
)
ACKNOWLEDGED = total(rate(of(m.INGESTED, 'outcome="acknowledged"')))
FIRING = 'count(ALERTS{alertname=~"Streammac.+",alertstate="firing"}) or vector(0)'

OVERVIEW = Row(
    "Overview",
    [
        stat_of(
            "Workers",
            "Workers that give signs of life.",
            "short",
            total(of(m.MEMBERS, 'process="worker"', 'state="alive"')),
        ),
        stat_of(
            "Lost",
            "Workers and ingest nodes that died or fell silent and have not come back.",
            "short",
            total(of(m.MEMBERS, 'state="lost"')),
            ALARM,
        ),
        stat_of(
            "Alerts",
            "Alerts of monitoring/rules that fire, of all clusters that this Prometheus looks after.",
            "short",
            FIRING,
            ALARM,
        ),
        stat_of("Stored", "Points in the shards now.", "short", of(m.POINTS, 'state="stored"')),
        stat_of("Ingest", "Points acknowledged per second.", "cps", ACKNOWLEDGED),
        stat_of("Epoch", "Mean duration of the last epochs.", "s", EPOCH_MEAN),
        stat_of(
            "Resting",
            "1 while there are no epochs because nothing is left to train: new points wake the ring.",
            "short",
            of(m.RESTING),
        ),
        stat_of("Version", "Model version that users get.", "short", of(m.PROMOTED)),
        stat_of(
            "Last recovery",
            "From a death to the first visit that the others finished after it; empty before the first death.",
            "s",
            of(m.RECOVERY_LAST),
        ),
    ],
)

INGEST = Row(
    "Ingest and back-pressure",
    [
        Panel(
            "Points by outcome",
            "What became of the points that were read: acknowledged ones are safe. A gap between sent and "
            "acknowledged means that points pile up. Predicted: by the model there was, before it was trained on them.",
            "cps",
            [
                (total(rate(each(m.INGESTED)), "outcome"), "{{outcome}}"),
                (total(rate(of(m.PREDICTED))), "predicted"),
            ],
        ),
        Panel(
            "Held up by back-pressure",
            "Share of time in which points waited and no worker had credit left. Near 100 %: the workers, and "
            "not the feed, set the pace. The next panel says which worker.",
            "percentunit",
            [(rate(each(m.BLOCKED)), "{{name}}")],
            most=1,
        ),
        Panel(
            "Credit in use",
            "Share of each worker's window that is under way to it, from the ingest node that uses most. A worker near "
            "100 % is slower than its share of the feed; where all are, there are too few or their disks are slow.",
            "percentunit",
            [
                (f"max by (worker) ({about(m.OUTSTANDING)} / {about(m.WINDOW)})", "{{worker}}"),
            ],
        ),
        Panel(
            "Waiting for credit",
            "Bytes that were read and wait for credit. At ingest.window_bytes sources are not read any further.",
            "bytes",
            [(each(m.WAITING), "{{name}}")],
        ),
        Panel(
            "Time to acknowledge",
            "From sending a batch to its acknowledgement: network, queueing at the worker, and its disk.",
            "s",
            [
                (quantile(0.5, m.ACK_SECONDS), "half of the batches"),
                (quantile(0.99, m.ACK_SECONDS), "99 % of the batches"),
            ],
        ),
        Panel(
            "Stored by worker",
            "Points that each worker stores per second; shares follow the workers' speed.",
            "cps",
            [(rate(each(m.APPENDED)), "{{name}}")],
            "stack",
        ),
        Panel(
            "Accounting",
            "Where all accepted points are: stored, expired, dropped, damaged, or away with workers that died or left.",
            "short",
            [(of(m.POINTS), "{{state}}")],
        ),
        Panel(
            "Not taken, not kept",
            "Points: dead letters, duplicates, expired. Batches: refused, sent again. And feeds that failed.",
            "cps",
            [
                (
                    total(rate(each(m.INGESTED, 'outcome=~"dead_lettered|duplicate"')), "outcome"),
                    "points {{outcome}}",
                ),
                (total(rate(each(m.REFUSED))), "batches refused"),
                (total(rate(each(m.RESENT))), "batches sent again"),
                (total(rate(each(m.DUPLICATES))), "points stored before"),
                (total(rate(each(m.EXPIRED))), "points expired"),
                (total(rate(each(m.LETTERS_LOST))), "dead letters not kept"),
                (total(each(m.FAILED_FEEDS)), "feeds failed"),
            ],
        ),
        Panel(
            "Late targets",
            "Points that wait for their targets, and per second: points that got theirs (joined) or none in time "
            "(expired), and targets that were of no use, too late or of an unknown point.",
            "short",
            [
                (total(each(m.WAITING_POINTS)), "waiting"),
                (total(rate(each(m.LATE_TARGETS)), "outcome"), "{{outcome}} per second"),
            ],
        ),
        Panel(
            "Under way",
            "Points that were sent to workers or wait for it, and have no answer yet.",
            "short",
            [(each(m.UNACKNOWLEDGED), "{{name}}")],
        ),
    ],
)

BUSY = 'phase=~"train|z_step"'

BALANCE = Row(
    "Load balance",
    [
        Panel(
            "Imbalance",
            "Largest busy time of a worker over the mean one, in the last epoch. 1 is perfect; at 2 the slowest "
            "worker takes twice its share, and the others wait for it.",
            "short",
            [(of(m.IMBALANCE), "largest over mean")],
            least=1,
        ),
        Panel(
            "Busy",
            "Seconds of training and Z steps per second. Who is always busy while others wait is the slow one.",
            "percentunit",
            [(total(rate(each(m.PHASES, BUSY)), "name"), "{{name}}")],
        ),
        Panel(
            "Waiting",
            "Share of time in which a worker had nothing to compute.",
            "percentunit",
            [(total(rate(each(m.PHASES, 'phase="wait"')), "name"), "{{name}}")],
        ),
        Panel(
            "Training time of a point",
            "Mean duration of a visit over the points in the shard: how slow a worker is, whatever its share of the "
            "data. Under training.visit_budget it only compares shards of one size.",
            "s",
            [(f"{mean(m.VISIT_SECONDS)} / {each(m.SHARD_POINTS)}", "{{name}}")],
        ),
        Panel(
            "Shards",
            "Points stored by each worker.",
            "short",
            [(each(m.SHARD_POINTS), "{{name}}")],
        ),
        Panel(
            "Share of the feed",
            "What each worker gets of new points, over an equal share; follows the measured speed.",
            "short",
            [(about(m.WEIGHT), "{{worker}}")],
        ),
    ],
)

RING = Row(
    "The ring",
    [
        Panel(
            "Duration of an epoch",
            "From one epoch's end to the next, mean over workers.",
            "s",
            [(EPOCH_MEAN, "mean"), (quantile(0.95, m.WORKER_EPOCH_SECONDS), "95 % of the epochs")],
        ),
        Panel(
            "Where an epoch's time goes",
            "Seconds of an epoch by phase, mean over workers: W step, Z step, sending and receiving submodels with "
            "nothing to compute, waiting.",
            "s",
            [
                (
                    f"{total(rate(of(m.EPOCH_PHASES)), 'phase')}"
                    f" / on() group_left() {total(rate(of(m.EPOCHS)))}",
                    "{{phase}}",
                )
            ],
            "stack",
        ),
        Panel(
            "Work done",
            "Visits, gradient steps, copies and Z steps per second: nothing here means that the ring stands still.",
            "cps",
            [(rate(each(m.HOPS)), "{{name}}")],
        ),
        Panel(
            "Neighbours averaged with",
            "Of the strategy consensus: how many other copies a worker's own is averaged with in an iteration. "
            "Who has far fewer than the others is slow, and is not waited for.",
            "short",
            [(f"{rate(each(m.NEIGHBOURS))} / {rate(each(m.ITERATIONS))}", "{{name}}")],
        ),
        Panel(
            "Hop",
            "How long a block stays at a worker, waiting for its turn and in training: 95 % stay no longer.",
            "s",
            [(quantile(0.95, m.HOP_SECONDS, "name"), "{{name}}")],
        ),
        Panel(
            "Visit",
            "How long the training of a block at a worker takes: 95 % take no longer.",
            "s",
            [(quantile(0.95, m.VISIT_SECONDS, "name"), "{{name}}")],
        ),
        Panel(
            "Blocks held",
            "Blocks that wait for or are in training at a worker. They gather at the slow one.",
            "short",
            [(each(m.HOLDING), "{{name}}")],
            "stack",
        ),
        Panel(
            "Views",
            "Number of the cluster view, and the one that each worker follows. It grows when members come, go or die.",
            "short",
            [(of(m.VIEW), "coordinator"), (each(m.WORKER_VIEW), "{{name}}")],
            least=None,
        ),
        Panel(
            "Epochs behind",
            "How far each worker is behind the one that is furthest. One is usual: there is no barrier.",
            "short",
            [
                (
                    f"scalar(max({of(m.WORKER_EPOCH)})) - {each(m.WORKER_EPOCH)}",
                    "{{name}}",
                )
            ],
        ),
        Panel(
            "Frozen",
            "1 while a worker waits for the ring to be put together: two messages after each change of membership.",
            "short",
            [(each(m.FROZEN), "{{name}}")],
            most=1,
        ),
    ],
)

RECOVERIES = total(increase(of(m.RECOVERY_SECONDS, suffix="_count")))
QUICK_ONES = total(increase(of(m.RECOVERY_SECONDS, 'le="1.0"', suffix="_bucket")))

FAILURES = Row(
    "Failures and recoveries",
    [
        Panel(
            "Who is here",
            "Which workers are here and which are lost. Who left in good order is not listed.",
            "short",
            [(about(m.WORKER_UP), "{{worker}}")],
            "states",
            width=12,
        ),
        Panel(
            "Failures",
            "Processes lost (crash: its connections broke; hang: it fell silent), taken for lost and back (fenced), "
            "not reached by others (unreachable), and left in good order (drained).",
            "short",
            [(total(increase(of(m.FAILURES)), "reason"), "{{reason}}")],
            "bars",
            width=12,
        ),
        Panel(
            "Recovery",
            "How long the last recovery took: from a death to the first visit that the others finished after it. "
            "Empty before the first death.",
            "s",
            [(of(m.RECOVERY_LAST), "last recovery")],
        ),
        Panel(
            "Recoveries",
            "Recoveries, and those of them that took longer than a second.",
            "short",
            [
                (RECOVERIES, "all"),
                (f"{RECOVERIES} - {QUICK_ONES}", "longer than 1 s"),
            ],
            "bars",
        ),
        Panel(
            "Points away",
            "Points with workers that died or left. They come back with them.",
            "short",
            [(of(m.POINTS, 'state="away"'), "away")],
        ),
        Panel(
            "Events",
            "What happened, by kind (docs/status.md says what each means); model versions are on the other dashboard.",
            "short",
            [
                (
                    total(increase(of(m.EVENTS, 'kind!~"promoted|kept_back"')), "kind"),
                    "{{kind}}",
                )
            ],
            "bars",
        ),
        Panel(
            "Refused handshakes",
            "Connections that did not come about, by reason: keys that are missing, wrong or not allowed.",
            "short",
            [(total(increase(each(m.HANDSHAKE_FAILURES)), "reason"), "{{reason}}")],
            "bars",
        ),
        Panel(
            "Damage",
            "Messages that did not decode, segments that were set aside, workers whose disks take no points.",
            "short",
            [
                (total(increase(each(m.WORKER_MALFORMED))), "messages to workers"),
                (total(increase(each(m.INGEST_MALFORMED))), "messages to ingest nodes"),
                (total(increase(of(m.COORDINATOR_MALFORMED))), "messages to the coordinator"),
                (total(each(m.QUARANTINED)), "damaged segments"),
                (total(each(m.REFUSING)), "workers that take no points"),
            ],
        ),
    ],
)

RESOURCES = Row(
    "Resources",
    [
        Panel(
            "Processor",
            "Cores in use by each process.",
            "short",
            [(rate(each("process_cpu_seconds_total")), "{{name}}")],
        ),
        Panel(
            "Memory",
            "Resident memory. Shards are mapped: what the kernel keeps of them counts, until it needs the room.",
            "bytes",
            [(each("process_resident_memory_bytes"), "{{name}}")],
        ),
        Panel(
            "Open files",
            "Share of the files and sockets that a process may have open.",
            "percentunit",
            [(f"{each('process_open_fds')} / {each('process_max_fds')}", "{{name}}")],
        ),
        Panel(
            "Shards on disk",
            "Bytes that each worker's points take.",
            "bytes",
            [(each(m.SHARD_BYTES), "{{name}}")],
            "stack",
        ),
        Panel(
            "Disk free",
            "Bytes free where the shards are. A worker whose disk is full takes no points, and goes on training.",
            "bytes",
            [(each(m.DISK_FREE), "{{name}}")],
        ),
        Panel(
            "Scrapes",
            "How long Prometheus waits for each process's metrics.",
            "s",
            [(each("scrape_duration_seconds"), "{{name}}")],
        ),
    ],
)

LOST = increase(of(m.EVENTS, 'kind=~"lost|ingest_lost"'))
CHANGED = increase(of(m.EVENTS, 'kind=~"joined|returned|left"'))

MARKS = [
    Mark("Lost", f"{LOST} > 0", "red"),
    Mark("Joined, returned or left", f"{CHANGED} > 0", "blue"),
]

DASHBOARD = Dashboard(
    "streammac-cluster",
    "streammac: cluster",
    "Who is in the ring, where points, time and credit go, what fails and how it recovers.",
    [OVERVIEW, INGEST, BALANCE, RING, FAILURES, RESOURCES],
    MARKS,
)
