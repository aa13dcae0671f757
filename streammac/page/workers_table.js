// The ring in words: a table of the workers, for screen readers and for exact values.

import { html } from "./chart_view.js";
import { duration, percent, short, whole } from "./format.js";
import { inOrder, isLost } from "./ring.js";

const MOST_ROWS = 60;
const COLUMNS = [
  ["state", (worker) => (isLost(worker) ? "lost" : worker.state), "words"],
  ["points", (worker) => whole(worker.points)],
  ["points/s", (worker) => short(worker.rate)],
  ["busy", (worker) => percent(worker.busy_share)],
  ["epoch", (worker) => whole(worker.epoch)],
  ["W step", (worker) => duration(worker.train_s)],
  ["Z step", (worker) => duration(worker.z_step_s)],
  ["submodels here", (worker) => worker.holding.join(" "), "words"],
];

// seconds a worker computed in its epoch
const effort = (worker) => worker.train_s + worker.z_step_s;

/** Which workers get a row: all, or of very many the lost ones and those that compute longest. Pure. */
export function listed(workers) {
  if (workers.length <= MOST_ROWS) return inOrder(workers);
  const weight = (worker) => (isLost(worker) ? Infinity : effort(worker));
  return [...workers].sort((a, b) => weight(b) - weight(a) || 0).slice(0, MOST_ROWS);
}

/** Write the table into a container. */
export function drawWorkers(container, workers) {
  const rows = listed(workers);
  const hidden = workers.length - rows.length;
  const caption = hidden > 0 ? `Lost workers and those that compute longest; ${whole(hidden)} more are not listed` : "All workers";
  const head = html("tr", {}, html("th", { scope: "col", textContent: "worker" }), ...COLUMNS.map(([title, , name]) =>
    html("th", { scope: "col", textContent: title, className: name ?? "" })));
  const body = rows.map((worker) => {
    const cells = COLUMNS.map(([, value, name]) => html("td", { textContent: value(worker), className: name ?? "" }));
    const row = html("tr", {}, html("th", { scope: "row", textContent: worker.name }), ...cells);
    row.dataset.state = isLost(worker) ? "lost" : worker.state;
    return row;
  });
  container.replaceChildren(
    html("table", {}, html("caption", { textContent: caption }), html("thead", {}, head), html("tbody", {}, ...body)),
  );
}
