// The run's history: lines as the coordinator wrote them become series over running time. Pure.

const MAX_LINES = 20000; // of a kind; older ones are thinned beyond
const VERSIONS = new Set(["version", "promoted", "kept_back"]); // twice a second: they would bury the others
const STILL_S = 1; // what is left of the time between two runs

/** An empty history. */
export function newHistory() {
  return { sample: [], epoch: [], quality: [], event: [], runs: [], last: 0, newest: { t: 0, keys: new Set() } };
}

/** Parse newline-delimited JSON; torn and foreign lines are left out. */
export function parseLines(text) {
  const lines = [];
  for (const one of text.split("\n")) {
    try {
      const line = JSON.parse(one);
      if (line && line.k && Number.isFinite(line.t)) lines.push(line);
    } catch {
      continue; // a line that was cut off by a crash
    }
  }
  return lines;
}

/** Add lines, oldest first; those that are there already are left out. Returns the new events. */
export function addLines(history, lines) {
  const news = [];
  for (const line of lines) {
    if (line.k === "event" ? isNewEvent(history, line) : isNewer(history, line)) {
      if (line.k === "event") news.push(line);
      if (line.k === "start") openRun(history, line.t);
      else if (line.k === "event") keepEvent(history.event, line);
      else keep(history[line.k], line);
      if (line.k !== "event") history.last = Math.max(history.last, line.t);
    }
  }
  return news;
}

function isNewEvent(history, line) {
  const newest = history.newest; // events come in the order of their times
  if (line.t > newest.t) [newest.t, newest.keys] = [line.t, new Set()];
  const key = `${line.number ?? ""} ${line.kind} ${line.name ?? ""}`;
  const fresh = line.t === newest.t && !newest.keys.has(key);
  newest.keys.add(key);
  return fresh;
}

// versions in a row become one entry, the newest, that counts the others
function keepEvent(list, line) {
  const last = list.at(-1);
  if (last && VERSIONS.has(last.kind) && VERSIONS.has(line.kind)) list[list.length - 1] = { ...line, more: (last.more ?? 0) + 1 };
  else list.push(line);
  if (list.length > MAX_LINES) list.shift();
}

function isNewer(history, line) {
  if (line.k === "start") return line.t > (history.runs.at(-1)?.from ?? 0);
  const known = history[line.k];
  return Array.isArray(known) && line.t > (known.at(-1)?.t ?? 0);
}

function openRun(history, from) {
  const before = history.runs.at(-1)?.shift ?? 0;
  const idle = history.last ? Math.max(0, from - history.last - STILL_S) : 0;
  history.runs.push({ from, shift: before + idle });
}

function keep(list, line) {
  list.push(line);
  if (list.length <= MAX_LINES) return;
  // the older half at a distance in time: the whole length stays told, at one resolution
  const half = MAX_LINES / 2;
  const apart = (line.t - list[0].t) / (half / 2);
  let last = -Infinity;
  const old = list.splice(0, half).filter(({ t }) => t - last >= apart && ((last = t), true));
  list.unshift(...old);
}

/** Unix time -> seconds that the cluster had been running: the pauses between runs are left out. */
export function elapsed(history, t) {
  const first = history.runs[0]?.from ?? history.sample[0]?.t ?? history.epoch[0]?.t ?? t;
  const run = history.runs.findLast((one) => one.from <= t) ?? { shift: 0 };
  return Math.max(0, t - first - run.shift);
}

/** Points per second between samples: [seconds, rate], none where a run ends. */
export function throughput(history) {
  const points = [];
  for (let n = 1; n < history.sample.length; n++) {
    const [a, b] = [history.sample[n - 1], history.sample[n]];
    const apart = history.runs.some((run) => a.t < run.from && run.from <= b.t);
    if (!apart && b.t > a.t) points.push([elapsed(history, b.t), Math.max(0, b.accepted - a.accepted) / (b.t - a.t)]);
  }
  return points;
}

/** Seconds of one phase of the epochs: [seconds, value]. */
export function phase(history, name) {
  return history.epoch.map((line) => [elapsed(history, line.t), line.seconds?.[name] ?? 0]);
}

/** What else the model's family tells of the epochs: name -> [seconds, value], per point. */
export function named(history) {
  return seriesOf(history, history.epoch, "named");
}

/** How the models did on new points before they were trained on them: name -> [seconds, value], of the newest points. */
export function prequential(history) {
  return seriesOf(history, history.sample, "prequential");
}

function seriesOf(history, lines, field) {
  const series = new Map();
  for (const line of lines) {
    for (const [name, value] of Object.entries(line[field] ?? {})) {
      if (!Number.isFinite(value)) continue;
      if (!series.has(name)) series.set(name, []);
      series.get(name).push([elapsed(history, line.t), value]);
    }
  }
  return series;
}

/** Which phases the epochs name. */
export function hasPhase(history, name) {
  return history.epoch.some((line) => name in (line.seconds ?? {}));
}

/** What the lines on quality tell of besides time and version: names of methods. */
export function methods(history) {
  const names = new Set(history.quality.flatMap((line) => Object.keys(line)));
  return [...names].filter((name) => !["k", "t", "version"].includes(name));
}

/** One method's values on held-out points: [seconds, value]. */
export function quality(history, method) {
  return history.quality
    .filter((line) => Number.isFinite(line[method]))
    .map((line) => [elapsed(history, line.t), line[method]]);
}
