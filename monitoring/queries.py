"""PromQL from the table of series: the dashboards spell no series' name and no variable twice.

Each function returns an expression with Grafana's variables in it: ``$job`` and ``$cluster`` choose the
cluster, ``$name`` its processes.
"""

from __future__ import annotations

from streammac.telemetry.metrics import Series

CLUSTER = 'job=~"$job",cluster=~"$cluster"'
"""Matches the processes of the cluster."""
PROCESS = f'{CLUSTER},name=~"$name"'
"""Matches those of them that were chosen, by the name that service discovery gives them."""
WINDOW = "[$__rate_interval]"


def of(series: Series | str, *matchers: str, suffix: str = "") -> str:
    """Return a series of the whole cluster.

    >>> from streammac.telemetry.metrics import POINTS
    >>> of(POINTS, 'state="away"')
    'streammac_points{job=~"$job",cluster=~"$cluster",state="away"}'
    """
    name = series if isinstance(series, str) else series.name
    return f"{name}{suffix}{{{','.join((CLUSTER, *matchers))}}}"


def each(series: Series | str, *matchers: str, suffix: str = "") -> str:
    """Return a series of the chosen processes, which show it themselves."""
    return of(series, 'name=~"$name"', *matchers, suffix=suffix)


def about(series: Series | str, *matchers: str) -> str:
    """Return a series of the chosen workers, which another process shows."""
    return of(series, 'worker=~"$name"', *matchers)


def rate(selector: str) -> str:
    """Return the growth per second of a counter."""
    return f"rate({selector}{WINDOW})"


def increase(selector: str) -> str:
    """Return the growth of a counter in the time of a few scrapes."""
    return f"increase({selector}{WINDOW})"


def total(expression: str, *by: str) -> str:
    """Return a sum, by labels."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def mean(series: Series, *, chosen: bool = True) -> str:
    """Return the mean of what went into a histogram lately, for each process."""
    select = each if chosen else of
    return f"{rate(select(series, suffix='_sum'))} / {rate(select(series, suffix='_count'))}"


def quantile(share: float, series: Series, *by: str) -> str:
    """Return a quantile of what went into a histogram lately."""
    buckets = total(rate(each(series, suffix="_bucket")), "le", *by)
    return f"histogram_quantile({share}, {buckets})"
