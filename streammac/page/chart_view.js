// One chart: lines or stacked areas over time, a cursor for mouse, finger and arrow keys, and a table.

import { axisTime, duration } from "./format.js";
import { svg } from "./ring_view.js";
import { areaPath, fewer, linePath, nearest, niceRange, scale, stacked, ticks, timeTicks, usualTop } from "./scales.js";

const HEIGHT = 150;
const EDGE = { left: 46, right: 8, top: 8, bottom: 20 };
const MOST_POINTS = 240;
const TABLE_ROWS = 30;

/** An HTML element with properties and children. */
export function html(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/**
 * A chart in a figure. `spec`: {id, title, unit, kind: "lines" | "stack" | "area", format, tight}.
 * draw(series, marks, range): series [{name, colour, dash, points: [[x, y]]}], marks [{x, kind, text}].
 */
export function chartView(spec) {
  const legend = html("p", { className: "legend" });
  const plot = svg("svg", { class: "plot", role: "img", tabindex: "0" });
  const spoken = html("p", { className: "unseen", ariaLive: "polite" });
  const table = html("div", { className: "scroll" });
  const details = html("details", {}, html("summary", { textContent: "As a table" }), table);
  const title = html("h3", {}, spec.title, " ", html("span", { className: "unit", textContent: spec.unit }));
  const figure = html("figure", { className: "card chart", id: spec.id }, html("figcaption", {}, title, legend), plot, spoken, details);
  let drawn = { series: [], marks: [], range: [0, 1] };
  let chosen = null; // where the cursor is, seconds

  function draw(series, marks, range) {
    const shown = series.map((one) => ({ ...one, points: within(one.points, range) }));
    drawn = { series: shown, marks, range };
    render();
    if (details.open) fillTable(table, spec, drawn);
  }

  function render() {
    const width = Math.max(200, plot.clientWidth || 600);
    plot.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const x = scale(...drawn.range, EDGE.left, width - EDGE.right);
    const { shapes, low, high, y, beyond } = curves(spec, drawn.series, x);
    plot.replaceChildren(
      ...grid(spec, low, high, y, x, drawn.range, width),
      ...drawn.marks.filter((mark) => mark.x >= drawn.range[0]).map((mark) => marker(mark, x)),
      ...shapes,
      ...cutOff(spec, beyond, width),
      ...cursor(),
    );
    readout();
    const last = drawn.series.map((one) => `${one.name} ${spec.format(one.points.at(-1)?.[1])}`).join(", ");
    plot.setAttribute("aria-label", `${spec.title}, ${spec.unit}. Latest: ${last}. Arrow keys move through time.`);

    function cursor() {
      if (chosen === null) return [];
      const place = x(chosen).toFixed(1);
      return [svg("line", { class: "cursor", x1: place, x2: place, y1: EDGE.top, y2: HEIGHT - EDGE.bottom })];
    }
  }

  function readout() {
    const values = drawn.series.map((one) => {
      const point = chosen === null ? one.points.at(-1) : one.points[nearest(one.points, chosen)];
      return html("span", {}, swatch(spec, one), `${one.name} `, html("b", { textContent: spec.format(point?.[1]) }));
    });
    const when = chosen === null ? [] : [html("span", { textContent: `at ${duration(Math.round(chosen))}` })];
    legend.replaceChildren(...when, ...values);
  }

  function choose(seconds) {
    chosen = seconds;
    render();
  }

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right);
    const [from, to] = drawn.range;
    choose(from + Math.min(1, Math.max(0, share)) * (to - from));
  });
  plot.addEventListener("pointerleave", () => choose(null));
  plot.addEventListener("blur", () => choose(null));
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const points = drawn.series[0]?.points ?? [];
    if (event.key === "Escape") choose(null);
    if (step === undefined || !points.length) return;
    event.preventDefault();
    const now = chosen === null ? points.length - 1 : nearest(points, chosen);
    choose(points[Math.min(points.length - 1, Math.max(0, now + step))][0]);
    spoken.textContent = legend.textContent;
  });
  details.addEventListener("toggle", () => fillTable(table, spec, drawn));
  new ResizeObserver(() => render()).observe(plot);
  return { figure, draw };
}

function within(points, [from]) {
  const first = points.findIndex(([x]) => x >= from);
  return fewer(first < 0 ? [] : points.slice(first), MOST_POINTS);
}

function curves(spec, series, x) {
  const heaps = spec.kind === "stack" ? stacked(series.map((one) => one.points)) : series.map((one) => one.points);
  const values = heaps.flat().map(([, value]) => value);
  const top = spec.kind === "stack" ? usualTop((heaps.at(-1) ?? []).map(([, value]) => value)) : Infinity;
  const [low, high] = niceRange(values.map((value) => Math.min(value, top)), spec.tight);
  const place = scale(low, high, HEIGHT - EDGE.bottom, EDGE.top);
  const y = (value) => Math.max(EDGE.top, place(value));
  const floor = (points) => points.map(([time]) => [time, low]);
  const shapes = series.flatMap((one, n) => {
    const line = svg("path", { class: `curve c-${one.colour} d-${one.dash ?? 0}`, d: linePath(heaps[n], x, y) });
    line.dataset.series = one.name;
    if (spec.kind === "lines") return [line];
    const area = svg("path", {
      class: `${spec.kind === "stack" ? "fill" : "wash"} c-${one.colour}`,
      d: areaPath(heaps[n], spec.kind === "stack" && n ? heaps[n - 1] : floor(heaps[n]), x, y),
    });
    area.dataset.series = one.name;
    return spec.kind === "stack" ? [area] : [area, line];
  });
  const highest = values.reduce((a, b) => Math.max(a, b), 0);
  return { shapes: spec.kind === "lines" ? shapes.reverse() : shapes, low, high, y, beyond: highest > high ? highest : 0 };
}

function cutOff(spec, beyond, width) {
  if (!beyond) return [];
  return [svg("text", { x: width - EDGE.right - 4, y: EDGE.top + 12, "text-anchor": "end", class: "beyond" }, `peaks up to ${spec.format(beyond)}`)];
}

function grid(spec, low, high, y, x, range, width) {
  const rules = ticks(low, high).flatMap((value) => [
    svg("line", { class: "rule", x1: EDGE.left, x2: width - EDGE.right, y1: y(value).toFixed(1), y2: y(value).toFixed(1) }),
    svg("text", { x: EDGE.left - 6, y: (y(value) + 4).toFixed(1), "text-anchor": "end" }, spec.format(value)),
  ]);
  const times = timeTicks(...range, width < 420 ? 4 : 7).map((value) => {
    const place = x(value);
    const anchor = place > width - 30 ? "end" : place < EDGE.left + 12 ? "start" : "middle";
    return svg("text", { x: place.toFixed(1), y: HEIGHT - 5, "text-anchor": anchor }, axisTime(value));
  });
  return [...rules, ...times];
}

const BAD = new Set(["lost", "disk_full", "damaged", "quarantined"]);

function marker(mark, x) {
  const place = x(mark.x).toFixed(1);
  const tone = BAD.has(mark.kind) ? "bad" : mark.kind === "drift" ? "drift" : "";
  const line = svg("line", { class: `marker ${tone}`, x1: place, x2: place, y1: HEIGHT - EDGE.bottom - 7, y2: HEIGHT - EDGE.bottom });
  line.append(svg("title", {}, mark.text));
  return line;
}

function swatch(spec, one) {
  const shape = spec.kind === "stack"
    ? svg("rect", { class: `fill c-${one.colour}`, x: 4, width: 12, height: 10, rx: 2 })
    : svg("path", { class: `curve c-${one.colour} d-${one.dash ?? 0}`, d: "M0 5H20" });
  return svg("svg", { viewBox: "0 0 20 10", "aria-hidden": "true" }, shape);
}

function fillTable(target, spec, { series }) {
  const rows = (series[0]?.points ?? []).slice(-TABLE_ROWS).reverse();
  const head = html("tr", {}, ...["time", ...series.map((one) => one.name)].map((text) => html("th", { scope: "col", textContent: text })));
  const body = rows.map(([x]) =>
    html("tr", {}, html("th", { scope: "row", textContent: duration(Math.round(x)) }), ...series.map((one) =>
      html("td", { textContent: spec.format(one.points[nearest(one.points, x)]?.[1]) }))));
  target.replaceChildren(
    html("table", {}, html("caption", { textContent: `${spec.title}, newest first; time since the start` }), html("thead", {}, head), html("tbody", {}, ...body)),
  );
}
