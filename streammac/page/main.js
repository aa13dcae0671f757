// Puts the page together: data comes from the server's event stream, or stands in the document (a report).

import { html } from "./chart_view.js";
import { chartsView } from "./charts.js";
import { eventsView } from "./events.js";
import { clock, duration } from "./format.js";
import { addLines, elapsed, newHistory, parseLines } from "./history.js";
import { drawMeasures } from "./measures_table.js";
import { ringView } from "./ring_view.js";
import { drawWorkers } from "./workers_table.js";

const CHARTS_MS = 2000; // between two drawings of the charts; a change of the ring shows at once
const STALE_S = 5;
const NOTHING = { view: 0, epoch: 0, workers: [], answers: [] };
const SIGNS = { good: "\u2713", warn: "\u25b2", bad: "\u2715", none: "\u2013" };

const find = (selector) => document.querySelector(selector);
const page = {
  history: newHistory(),
  status: NOTHING,
  now: 0, // the server's clock
  heard: 0, // ours, when the last word came
  ended: false,
  window: null,
  drawn: -Infinity,
};
const ring = ringView(find("#ring .stage"));
const charts = chartsView(find("#charts .grid"));
const events = eventsView(find("#events ol"), find("#news"));
const workers = find("#workers");
const measures = find("#measures");

function take(frame) {
  page.status = { ...NOTHING, ...frame.status };
  page.now = frame.t;
  page.heard = performance.now();
  const news = addLines(page.history, frame.lines);
  events.announce(news);
  draw(news.length > 0);
}

function draw(all) {
  if (document.hidden) return; // drawn when it is looked at
  const { status, history } = page;
  drawAnswers(status.answers);
  ring.draw(status);
  if (measures.open) drawMeasures(measures.querySelector(".scroll"), status.quality);
  if (workers.open) drawWorkers(workers.querySelector(".scroll"), status.workers);
  if (!all && performance.now() - page.drawn < CHARTS_MS) return;
  page.drawn = performance.now();
  charts.draw(history, page.window, status.quality?.metric);
  events.draw(history.event);
  const since = history.runs.length > 1 ? `, in ${history.runs.length} runs` : "";
  find("#facts").textContent = `Running for ${duration(Math.round(elapsed(history, page.now)))}${since}. Cluster ${status.cluster ?? ""}.`;
}

function drawAnswers(list) {
  const target = find("#answers dl");
  if (!target.childElementCount) {
    target.append(...list.map((one) => html("div", { id: `answer-${one.id}` }, html("dt", { textContent: one.question }), html("dd", { className: "short" }), html("dd", { className: "more" }))));
  }
  for (const one of list) {
    const box = find(`#answer-${one.id}`);
    const [, short, more] = box.children;
    box.dataset.tone = one.tone;
    short.dataset.sign = SIGNS[one.tone];
    if (short.textContent !== one.text) short.textContent = one.text;
    if (more.textContent !== one.more) more.textContent = one.more;
  }
  const [first] = list;
  if (first) document.title = `${first.tone === "good" ? "" : "(!) "}${first.text} - streammac`;
}

function connection(tone, text) {
  const element = find("#connection");
  if (element.textContent === text) return;
  element.textContent = text;
  element.dataset.tone = tone;
}

function live() {
  let waiting = []; // frames that came before the history
  let open = false;
  const source = new EventSource("/events");
  source.addEventListener("open", async () => {
    [waiting, open] = [[], false];
    const answer = await fetch("/history");
    if (answer.ok) addLines(page.history, parseLines(await answer.text()));
    page.drawn = -Infinity;
    page.ended = false;
    open = true;
    waiting.forEach(take);
  });
  source.addEventListener("message", (message) => {
    const frame = JSON.parse(message.data);
    if (open) take(frame);
    else waiting.push(frame);
    connection("good", "Live");
  });
  source.addEventListener("end", () => {
    page.ended = true;
    connection("done", "Ended");
    draw(true);
  });
  setInterval(() => {
    const silent = (performance.now() - page.heard) / 1000;
    if (page.heard && !page.ended && silent > STALE_S) connection("bad", `No news for ${duration(Math.floor(silent))}`);
  }, 1000);
}

function report(data) {
  document.documentElement.dataset.report = "";
  find("#run-name").textContent = data.name;
  page.ended = !data.running;
  const made = new Date(data.made * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
  connection("done", `Report, ${made} ${clock(data.made)}${data.running ? ", while it ran" : ""}`);
  take({ t: data.made, lines: data.lines, status: data.status });
}

function themeButton() {
  const button = find("#theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => button.setAttribute("aria-pressed", String(dark()));
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  show();
}

for (const input of document.querySelectorAll("input[name=window]")) {
  input.addEventListener("change", () => {
    page.window = Number(input.value) || null;
    draw(true);
  });
}
workers.addEventListener("toggle", () => draw(false));
measures.addEventListener("toggle", () => draw(false));
document.addEventListener("visibilitychange", () => draw(true));
themeButton();
const embedded = JSON.parse(find("#data").textContent);
if (embedded) report(embedded);
else live();
