// Numbers, durations and times as people read them. Pure.

/** 1234567 -> "1,234,567"; a value that is not there -> "-". */
export function whole(value) {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en") : "-";
}

/** 12345 -> "12.3k": few characters where room is scarce. */
export function short(value) {
  if (!Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  for (const [unit, sign] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit) return trimmed(value / unit, size / unit >= 100 ? 0 : 1) + sign;
  }
  return size === 0 || size >= 100 ? trimmed(value, 0) : trimmed(value, size >= 1 ? 1 : 3);
}

function trimmed(value, digits) {
  return String(Number(value.toFixed(digits)));
}

/** 0.0043 -> "4.3 ms", 75 -> "1 min 15 s". */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "-";
  if (seconds === 0) return "0 s";
  if (seconds < 0.1) return `${trimmed(seconds * 1000, 1)} ms`;
  if (seconds < 10) return `${trimmed(seconds, seconds < 1 ? 2 : 1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return joined(minutes, "min", Math.round(seconds) % 60, "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return joined(hours, "h", minutes % 60, "min");
  return joined(Math.floor(hours / 24), "d", hours % 24, "h");
}

function joined(large, unit, small, part) {
  return small ? `${large} ${unit} ${small} ${part}` : `${large} ${unit}`;
}

/** 90 -> "1:30", 5400 -> "1h30": on an axis. */
export function axisTime(seconds) {
  const two = (value) => String(value).padStart(2, "0");
  if (seconds < 60) return seconds ? `${seconds} s` : "0";
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)}h${two(Math.floor((seconds % 3600) / 60))}`;
  return `${trimmed(seconds / 86400, 1)} d`;
}

/** 0.734 -> "73%". */
export function percent(share) {
  return Number.isFinite(share) ? `${Math.round(share * 100)}%` : "-";
}

/** Unix seconds -> "14:03:59" in the reader's time zone. */
export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

/** An error of training: four digits, however small. */
export function measure(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "-";
}
