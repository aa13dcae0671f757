// All measures of the promoted version and of what it is compared with, with their margins.

import { html } from "./chart_view.js";
import { methodsOf } from "./charts.js";
import { measure } from "./format.js";

/** Write the table into a container; `quality` is that of the status, or nothing. */
export function drawMeasures(container, quality) {
  const measures = Object.entries(quality?.measures ?? {});
  const shown = methodsOf([...new Set(measures.flatMap(([, values]) => Object.keys(values)))]);
  const head = html("tr", {}, html("th", { scope: "col", textContent: "method" }), ...measures.map(([name]) => html("th", { scope: "col", textContent: name })));
  const body = shown.map((one) => {
    const cells = measures.map(([, values]) => html("td", { textContent: estimate(values[one.key]) }));
    return html("tr", {}, html("th", { scope: "row", textContent: one.name }), ...cells);
  });
  const caption = measures.length ? `Mean over ${quality.queries} queries among ${quality.points} points, and half the width of its 95 % interval` : "Nothing is measured yet";
  container.replaceChildren(html("table", {}, html("caption", { textContent: caption }), html("thead", {}, head), html("tbody", {}, ...body)));
}

function estimate(value) {
  return value ? `${measure(value.value)} \u00b1 ${measure(value.margin)}` : "-";
}
