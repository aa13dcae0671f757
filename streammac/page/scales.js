// From values to pixels: ticks, fewer points, paths. Pure.

/** Round tick values that cover [low, high], at most `most` + 1 of them. */
export function ticks(low, high, most = 4) {
  const step = niceStep((high - low) / most);
  if (!(step > 0)) return [low];
  const values = [];
  for (let n = Math.ceil(low / step - 1e-9); n <= high / step + 1e-9; n++) values.push(Number((n * step).toPrecision(12)));
  return values;
}

function niceStep(rough) {
  if (!(rough > 0) || !Number.isFinite(rough)) return 0;
  const size = 10 ** Math.floor(Math.log10(rough));
  return size * [1, 2, 2.5, 5, 10].find((factor) => factor * size >= rough - 1e-12 * size);
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

/** Ticks of a time axis in seconds, at steps that people count in. */
export function timeTicks(low, high, most = 5) {
  const rough = (high - low) / most;
  const step = TIME_STEPS.find((one) => one >= rough) ?? Math.ceil(rough / 86400) * 86400;
  const values = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) values.push(value);
  return values;
}

/** [low, high] rounded outwards to ticks; from zero unless `tight`. */
export function niceRange(values, tight = false) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  if (!tight) low = Math.min(0, low);
  else low -= (high - low) * 0.05;
  if (high - low < 1e-12) high = low + (Math.abs(low) || 1) * 0.1;
  const step = niceStep((high - low) / 4);
  return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
}

/** The value up to which a chart should reach: rare peaks beyond three times the usual are cut off. */
export function usualTop(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const usual = sorted[Math.floor((sorted.length - 1) * 0.9)] ?? 0;
  return Math.min(sorted.at(-1) ?? 0, usual * 3);
}

/** A function from [low, high] to [start, end]. */
export function scale(low, high, start, end) {
  const factor = high > low ? (end - start) / (high - low) : 0;
  return (value) => start + (value - low) * factor;
}

/** Means over at most `most` equal stretches of x; sorted points [x, y] in, fewer out. */
export function fewer(points, most) {
  if (points.length <= most) return points;
  const first = points[0][0];
  const width = (points.at(-1)[0] - first) / most || 1;
  const found = [];
  let bucket = -1;
  let count = 0;
  for (const [x, y] of points) {
    const own = Math.min(most - 1, Math.floor((x - first) / width));
    if (own !== bucket) {
      [bucket, count] = [own, 0];
      found.push([0, 0]);
    }
    const mean = found.at(-1);
    count += 1;
    mean[0] += (x - mean[0]) / count;
    mean[1] += (y - mean[1]) / count;
  }
  return found;
}

/** SVG path through points. */
export function linePath(points, x, y) {
  return points.map(([a, b], n) => `${n ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
}

/** SVG path of the area between two series over the same x. */
export function areaPath(upper, lower, x, y) {
  if (!upper.length) return "";
  const back = [...lower].reverse();
  return `${linePath(upper, x, y)}${linePath(back, x, y).replace("M", "L")}Z`;
}

/** Each series on top of the ones before it: [[x, y]...] each, over the same x. */
export function stacked(series) {
  let below = null;
  return series.map((points) => {
    const base = below;
    below = points.map(([x, y], n) => [x, y + (base ? base[n][1] : 0)]);
    return below;
  });
}

/** Index of the point whose x is nearest; sorted points. */
export function nearest(points, wanted) {
  let low = 0;
  let high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < wanted) low = middle;
    else high = middle;
  }
  return high > 0 && wanted - points[low][0] > points[high][0] - wanted ? high : Math.max(0, low);
}
