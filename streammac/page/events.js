// The list of events, newest first, and the one line that is read out when something happens.

import { html } from "./chart_view.js";
import { clock, duration, whole } from "./format.js";

const MOST_SHOWN = 200;
const SPOKEN = new Set(["joined", "returned", "draining", "left", "lost", "recovered", "drift", "disk_full", "damaged", "quarantined", "feed_failed", "feed_refused", "coordinator_restarted", "ingest_lost", "step_failed", "not_published", "unusable"]);
const KINDS = {
  joined: ["Joined", "+", "good"],
  returned: ["Returned", "+", "good"],
  draining: ["Leaving", "\u2212", "warn"],
  left: ["Left", "\u2212", ""],
  lost: ["Lost", "\u2715", "bad"],
  recovered: ["Recovered", "\u2713", "good"],
  view: ["New view", "\u25cb", ""],
  turns: ["Ring turns", "\u25cb", "good"],
  drift: ["Drift", "\u2248", "warn"],
  restart: ["Restart", "\u21ba", ""],
  adopted: ["Best model goes on", "\u21ba", ""],
  version: ["Version published", "\u2191", ""],
  promoted: ["Version promoted", "\u2605", "good"],
  pinned: ["Version pinned", "\u25a0", "warn"],
  unpinned: ["Version unpinned", "\u25a1", ""],
  kept_back: ["Version kept back", "\u25bd", "warn"],
  damaged: ["Damaged", "!", "bad"],
  quarantined: ["Quarantined", "!", "bad"],
  disk_full: ["Disk full", "!", "bad"],
  step_failed: ["Step failed", "!", "bad"],
  not_published: ["Not published", "!", "bad"],
  unusable: ["Version unusable", "!", "bad"],
  outliers: ["Outliers", "\u2248", "warn"],
  feed_failed: ["Feed failed", "!", "bad"],
  feed_refused: ["Feed refused", "!", "warn"],
  letters_lost: ["Dead letters lost", "!", "warn"],
  ingest_joined: ["Ingest joined", "+", "good"],
  ingest_left: ["Ingest left", "\u2212", ""],
  ingest_lost: ["Ingest lost", "\u2715", "bad"],
  coordinator_restarted: ["Coordinator back", "\u21ba", "warn"],
};

/** {title, sign, tone, text} of an event, in words. Pure. */
export function worded(event) {
  const [title, sign, tone] = KINDS[event.kind] ?? [event.kind, "\u00b7", ""];
  const took = Number.isFinite(event.seconds) && event.kind === "recovered" ? `in ${duration(event.seconds)}` : "";
  const parts = [event.name ?? "", event.text ?? ""].filter((part, n, all) => part && !(n === 0 && all[1].includes(part)));
  const more = event.more ? ` (and ${whole(event.more)} more about versions before it)` : "";
  return { title: [title, took].filter(Boolean).join(" "), sign, tone, text: parts.join(": ") + more };
}

/** The list inside a section, and the element that is read out. */
export function eventsView(list, spoken) {
  let shown = null; // the newest that is in the list

  function draw(events) {
    if (events.at(-1) === shown) return;
    shown = events.at(-1);
    list.replaceChildren(...events.slice(-MOST_SHOWN).reverse().map(item));
  }

  function announce(news) {
    const words = news.filter((event) => SPOKEN.has(event.kind)).map((event) => {
      const { title, text } = worded(event);
      return `${title}: ${text}`;
    });
    if (words.length) spoken.textContent = words.join(". ");
  }
  return { draw, announce };
}

function item(event) {
  const { title, sign, tone, text } = worded(event);
  const time = html("time", { textContent: clock(event.t), dateTime: new Date(event.t * 1000).toISOString() });
  const kind = html("span", { className: "kind", textContent: title });
  kind.dataset.sign = sign;
  kind.dataset.tone = tone;
  const row = html("li", {}, time, kind, html("span", { className: "text", textContent: text }));
  row.dataset.kind = event.kind;
  return row;
}
