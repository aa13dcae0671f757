// Four answers: is it training, is it keeping up, who is slow, what failed. Pure.

import { duration, percent, whole, clock } from "./format.js";
import { heldUp, throughput } from "./history.js";

const RECENT_S = 12; // what "now" means for rates
const SLOW = 1.25; // so much longer than the mean counts as slow
const HELD_UP = 0.05; // share of time in which a feed may wait unnoticed
const STALLED_S = 10; // shortest silence that is worth a word
const ENDED = new Set(["left"]);

/** Whether a worker takes part; older coordinators say "silent" for "lost". */
export function isMember(worker) {
  return ["alive", "joining", "draining"].includes(worker.state);
}

export function isLost(worker) {
  return worker.state === "lost" || worker.state === "silent";
}

const LATELY = 0.1; // weight of the newest epoch in what "slow" means: single epochs differ by chance

/** Update the efforts of the workers, a map from names, by a new status. */
export function remember(efforts, workers) {
  for (const name of efforts.keys()) if (!workers.some((worker) => worker.name === name)) efforts.delete(name);
  for (const worker of workers) {
    const before = efforts.get(worker.name);
    efforts.set(worker.name, before === undefined ? effort(worker) : before + LATELY * (effort(worker) - before));
  }
}

/** [{id, question, short, more, tone}] for a status; tone is good, warn, bad or none. */
export function answers(status, history, now, ended, efforts = new Map()) {
  return [
    training(status, history, now, ended),
    keepingUp(status, history, ended),
    slowest(status, ended, efforts),
    failures(status, history),
  ];
}

function training(status, history, now, ended) {
  const answer = (tone, short, more) => ({ id: "training", question: "Training", tone, short, more });
  const members = status.workers.filter(isMember).length;
  const versions = status.model_version ? `model version ${status.model_version}` : "no model yet";
  const last = history.epoch.at(-1);
  if (ended) return answer("none", `Ended after ${whole(Math.max(status.epoch, (last?.epoch ?? -1) + 1))} epochs`, versions);
  if (!members) return answer("bad", "No workers", status.waiting ?? "waiting for one to join");
  if (status.waiting) return answer("warn", "Not yet", status.waiting);
  if (!last) return answer("warn", "Not yet", `${whole(status.points.stored)} points stored so far`);
  const recent = history.epoch.filter((line) => line.t > last.t - RECENT_S);
  const [first] = recent;
  const rate = last.t > first.t ? (last.epoch - first.epoch) / (last.t - first.t) : 0;
  const silence = now - last.t;
  const pace = rate >= 1 ? `${rate.toFixed(1)} epochs a second` : rate > 0 ? `an epoch every ${duration(1 / rate)}` : "";
  const more = [pace, versions].filter(Boolean).join(", ");
  if (silence > Math.max(STALLED_S, rate > 0 ? 4 / rate : 0)) {
    return answer("warn", `No epoch for ${duration(Math.floor(silence))}`, more);
  }
  return answer("good", `Yes, epoch ${whole(status.epoch)}`, more);
}

function keepingUp(status, history, ended) {
  const answer = (tone, short, more) => ({ id: "feed", question: "Keeping up with the feed", tone, short, more });
  const nodes = status.ingest.filter((node) => node.state === "alive");
  const { accepted, dead_lettered: dead } = status.points;
  const total = `${whole(accepted)} points` + (dead ? `, ${whole(dead)} dead letters` : "");
  if (ended) return answer("none", `${whole(accepted)} points taken`, dead ? `${whole(dead)} dead letters` : "");
  if (!nodes.length) return answer("warn", "No ingest node", total);
  if (nodes.every((node) => node.finished)) return answer("good", "Yes, the feed has ended", total);
  const waited = recentMean(heldUp(history)) / nodes.length;
  const rate = `${whole(recentMean(throughput(history)))} points/s`;
  if (waited > HELD_UP) return answer("warn", `Held up ${percent(Math.min(1, waited))} of the time`, `${rate}, ${total}`);
  return answer("good", `Yes, ${rate}`, total);
}

function recentMean(points) {
  const end = points.at(-1)?.[0] ?? 0;
  const recent = points.filter(([x]) => x > end - RECENT_S).map(([, y]) => y);
  return recent.length ? recent.reduce((a, b) => a + b) / recent.length : 0;
}

/** Seconds a worker computed in its last epoch, 0 before it. */
export function effort(worker) {
  return (worker.train_s ?? 0) + (worker.z_step_s ?? 0);
}

function slowest(status, ended, efforts) {
  const answer = (tone, short, more) => ({ id: "slow", question: "Slowest worker", tone, short, more });
  const workers = status.workers.filter(ended ? (w) => ENDED.has(w.state) || isMember(w) : isMember);
  const usual = (worker) => efforts.get(worker.name) ?? effort(worker);
  const mean = workers.reduce((sum, worker) => sum + usual(worker), 0) / (workers.length || 1);
  if (workers.length < 2 || !workers.every((worker) => usual(worker) > 0)) return answer("none", "Nothing to compare", "");
  const slow = workers.reduce((a, b) => (usual(b) > usual(a) ? b : a));
  const ratio = usual(slow) / mean;
  const more = `${slow.name}: ${whole(slow.points)} points, ${percent(slow.busy_share)} busy`;
  if (ratio < SLOW) return answer("good", "None, balanced", more);
  return answer(ended ? "none" : "warn", `${slow.name}, ${ratio.toFixed(2)} times the mean`, more);
}

function failures(status, history) {
  const answer = (tone, short, more) => ({ id: "failures", question: "Failures", tone, short, more });
  const lost = [...status.workers, ...status.ingest].filter(isLost).map((one) => one.name);
  const counted = (status.failures?.crash ?? 0) + (status.failures?.hang ?? 0);
  const total = Math.max(counted, lost.length, history.event.filter((e) => e.kind === "lost").length);
  const fallen = history.event.findLast((event) => event.kind === "lost");
  const back = history.event.findLast((event) => event.kind === "recovered" && event.t >= (fallen?.t ?? 0));
  const recovery = back ? `recovered in ${duration(back.seconds)} at ${clock(back.t)}` : "";
  if (lost.length) {
    return answer(back ? "warn" : "bad", `Lost: ${named(lost)}`, recovery || (fallen ? "not recovered yet" : ""));
  }
  if (total) return answer("warn", `${whole(total)}, all recovered`, recovery);
  return answer("good", "None", status.drift_events ? `${whole(status.drift_events)} drifts seen` : "");
}

function named(names) {
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${whole(names.length - 3)} more` : names.join(", ");
}
