"""From a short description of a dashboard to Grafana's JSON, by way of Grafana's own builders.

`monitoring.cluster` and `monitoring.learning` say which rows and panels there are; here is what all have in
common: variables, the data source, identifiers, the grid, colours, annotations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as values
from grafana_foundation_sdk.models import dashboard as grafana

from monitoring import queries
from streammac.telemetry import metrics

SOURCE = grafana.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24
REFERENCES = "ABCDEFGH"
SCHEMA_VERSION = 41
"""Of Grafana 11.6; later ones convert it."""

Steps: TypeAlias = tuple[tuple[float | None, str], ...]
"""Colours and the values from which they hold."""
CALM: Steps = ((None, "green"),)
ALARM: Steps = ((None, "green"), (1, "red"))


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes
    ----------
    title, description : str
        For people; the description says what to make of it.
    unit : str
        Grafana's name of the unit.
    lines : sequence of (str, str)
        Expressions and what their series are called.
    kind : {"graph", "stack", "bars", "stat", "states"}
        How it looks; ``bars`` is for what happens seldom, ``states`` for what is 0 or 1.
    width, height : int
        In cells of the grid, which has 24 columns.
    least, most : float, optional
        Ends of the axis.
    steps : Steps
        Colours, of ``stat``.
    """

    title: str
    description: str
    unit: str
    lines: Sequence[tuple[str, str]]
    kind: Literal["graph", "stack", "bars", "stat", "states"] = "graph"
    width: int = 8
    height: int = 7
    least: float | None = 0
    most: float | None = None
    steps: Steps = CALM


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Mark:
    """Vertical lines in all graphs where an expression is above zero."""

    name: str
    expression: str
    colour: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Rows under a title; ``uid`` stays the same over versions, and is part of its address."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    marks: Sequence[Mark]


def stat_of(title: str, description: str, unit: str, expression: str, steps: Steps = CALM) -> Panel:
    """Return a panel with one large number."""
    lines = [(expression, title)]
    return Panel(title, description, unit, lines, "stat", 3, 4, steps=steps)


def to_json(told: Dashboard) -> str:
    """Return a dashboard as Grafana loads it."""
    board = (
        dashboard.Dashboard(told.title)
        .uid(told.uid)
        .description(told.description)
        .tags(["streammac"])
        .time("now-30m", "now")
        .refresh("5s")
        .timezone("browser")
        .readonly()
        .tooltip(grafana.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("streammac")
            .type(grafana.DashboardLinkType.DASHBOARDS)
            .tags(["streammac"])
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in _variables():
        board.with_variable(variable)
    for mark in told.marks:
        board.annotation(_annotation(mark))
    identifier = 0
    for row in told.rows:
        identifier += 1
        board.with_row(dashboard.Row(row.title).id(identifier))
        for panel in row.panels:
            identifier += 1
            board.with_panel(_panel(panel, identifier))
    built = board.build()
    built.schema_version = SCHEMA_VERSION
    return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _variables() -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    build = metrics.BUILD.name
    job = _choice("job", "Job", f"label_values({build}, job)", multi=True)
    cluster = _choice("cluster", "Cluster", f'label_values({build}{{job=~"$job"}}, cluster)')
    name = _choice(
        "name", "Process", f"label_values({build}{{{queries.CLUSTER}}}, name)", multi=True
    )
    return [source, job, cluster, name]


def _choice(name: str, label: str, query: str, *, multi: bool = False) -> dashboard.QueryVariable:
    everything = grafana.VariableOption(text="All", value="$__all", selected=True)
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query({"query": query, "refId": name})
        .datasource(SOURCE)
        .refresh(grafana.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(grafana.VariableSort.NATURAL_ASC)
        .include_all(True)
        .all_value(".*")
        .multi(multi)
        .current(everything)
    )


def _annotation(mark: Mark) -> dashboard.AnnotationQuery:
    query = dashboard.AnnotationQuery()
    query.name(mark.name).datasource(SOURCE).enable(True).icon_color(mark.colour)
    return query.expr(mark.expression)


Builder: TypeAlias = timeseries.Panel | stat.Panel | statetimeline.Panel


def _panel(panel: Panel, identifier: int) -> Builder:
    builder = _body(panel)
    builder.id(identifier).title(panel.title).description(panel.description).unit(panel.unit)
    builder.datasource(SOURCE).span(panel.width).height(panel.height)
    for reference, (expression, legend) in zip(REFERENCES, panel.lines, strict=False):
        query = prometheus.Dataquery().datasource(SOURCE).ref_id(reference).expr(expression)
        query.legend_format(legend)
        builder.with_target(query.instant() if panel.kind == "stat" else query.range())
    if panel.kind != "states":
        if panel.least is not None:
            builder.min(panel.least)
        if panel.most is not None:
            builder.max(panel.most)
    return builder


def _body(panel: Panel) -> Builder:
    if panel.kind == "stat":
        return _stat(panel)
    if panel.kind == "states":
        return _states()
    return _graph(panel)


def _graph(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(values.LegendDisplayMode.LIST)
    legend.placement(values.LegendPlacement.BOTTOM).show_legend(True)
    tooltip = common.VizTooltipOptions().mode(values.TooltipDisplayMode.MULTI)
    tooltip.sort(values.SortOrder.DESCENDING)
    graph = timeseries.Panel().legend(legend).tooltip(tooltip).line_width(1)
    graph.show_points(values.VisibilityMode.AUTO)
    if panel.kind == "stack":
        graph.stacking(common.StackingConfig().mode(values.StackingMode.NORMAL)).fill_opacity(30)
    if panel.kind == "bars":
        graph.draw_style(values.GraphDrawStyle.BARS).fill_opacity(80)
        graph.stacking(common.StackingConfig().mode(values.StackingMode.NORMAL))
    return graph


def _stat(panel: Panel) -> stat.Panel:
    steps = [grafana.Threshold(value=value, color=colour) for value, colour in panel.steps]
    thresholds = dashboard.ThresholdsConfig().mode(grafana.ThresholdsMode.ABSOLUTE).steps(steps)
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    shown = stat.Panel().thresholds(thresholds).reduce_options(last)
    shown.color_scheme(dashboard.FieldColor().mode(grafana.FieldColorModeId.THRESHOLDS))
    return shown.graph_mode(values.BigValueGraphMode.NONE)


def _states() -> statetimeline.Panel:
    results = {
        "0": grafana.ValueMappingResult(text="lost", color="red", index=0),
        "1": grafana.ValueMappingResult(text="here", color="green", index=1),
    }
    timeline = statetimeline.Panel().mappings([grafana.ValueMap(options=results)])
    return timeline.show_value(values.VisibilityMode.NEVER).merge_values(True).row_height(0.8)
