// Which charts there are, and where their values come from.

import { chartView } from "./chart_view.js";
import { duration, measure, short } from "./format.js";
import { elapsed, hasPhase, methods, named, phase, prequential, quality, throughput } from "./history.js";

const MARKED = new Set(["joined", "returned", "lost", "left", "drift", "disk_full", "coordinator_restarted"]);
const KNOWN = [
  { key: "model", name: "This model", colour: "blue" },
  { key: "initial", name: "Initial", colour: "blue", dash: 1 },
  { key: "itq", name: "ITQ", colour: "orange", dash: 1 },
  { key: "pca", name: "PCA", colour: "green", dash: 2 },
  { key: "random", name: "Random", colour: "grey", dash: 3 },
];
const COLOURS = ["blue", "orange", "green", "grey"];
const PHASES = [
  { key: "train", name: "W step", colour: "blue" },
  { key: "z_step", name: "Z step", colour: "orange" },
  { key: "communicate", name: "Communication", colour: "green" },
  { key: "wait", name: "Waiting", colour: "grey" },
];

/** How methods of these names are shown, the usual ones first. */
export function methodsOf(names) {
  const others = names.filter((name) => KNOWN.every((one) => one.key !== name));
  const shown = others.map((key, n) => ({ key, name: key[0].toUpperCase() + key.slice(1), colour: COLOURS[(n + 1) % COLOURS.length], dash: n + 1 }));
  return [...KNOWN.filter((one) => names.includes(one.key)), ...shown];
}

/** All charts in a container; draw(history, seconds) shows the last so many seconds, or everything. */
export function chartsView(container) {
  const quality_view = chartView({ id: "chart-quality", title: "Quality", unit: "on held-out points", kind: "lines", format: measure, tight: true });
  const feed = chartView({ id: "chart-throughput", title: "Throughput", unit: "points stored per second", kind: "area", format: short });
  const time = chartView({ id: "chart-epoch", title: "Epoch time", unit: "mean over workers", kind: "stack", format: duration });
  const error = chartView({ id: "chart-objective", title: "Error", unit: "of the nested model, per point", kind: "area", format: measure });
  const training = chartView({ id: "chart-named", title: "Training", unit: "per point of the epoch's slice", kind: "lines", format: measure });
  const before = chartView({ id: "chart-prequential", title: "Prequential", unit: "new points, before they are trained on", kind: "lines", format: measure });
  container.replaceChildren(...[quality_view, feed, time, error, before, training].map((chart) => chart.figure));
  const unit = quality_view.figure.querySelector(".unit");

  function draw(history, seconds, metric) {
    const end = Math.max(1, elapsed(history, history.last));
    const range = [seconds ? Math.max(0, end - seconds) : 0, end];
    const marks = history.event
      .filter((event) => MARKED.has(event.kind))
      .map((event) => ({ x: elapsed(history, event.t), kind: event.kind, text: `${event.name ?? ""} ${event.kind}` }));
    if (metric && unit.textContent !== metric) unit.textContent = metric;
    quality_view.draw(methodsOf(methods(history)).map((one) => ({ ...one, points: quality(history, one.key) })), marks, range);
    feed.draw([{ name: "Points/s", colour: "blue", points: throughput(history) }], marks, range);
    time.draw(phases(history), marks, range);
    const objective = history.epoch.filter((line) => Number.isFinite(line.objective));
    for (const [chart, lines] of [[before, prequential(history)], [training, named(history)]]) {
      chart.figure.hidden = lines.size === 0;
      if (lines.size) chart.draw([...lines].map(([name, points], n) => ({ name, colour: COLOURS[n % COLOURS.length], points })), marks, range);
    }
    error.draw([{ name: "Error", colour: "blue", points: objective.map((line) => [elapsed(history, line.t), line.objective]) }], marks, range);
  }
  return { draw };
}

function phases(history) {
  const told = hasPhase(history, "communicate");
  return PHASES.filter((one) => one.key !== "communicate" || told).map((one) => ({
    ...one,
    name: one.key === "wait" && !told ? "Waiting and communication" : one.name,
    points: phase(history, one.key),
  }));
}
