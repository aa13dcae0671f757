// Draws the ring into an SVG and moves what has moved.

import { percent, short, whole } from "./format.js";
import { MOST_NODES, RADIUS, arc, at, band, blockPlaces, isLost, isMember, layout, sectors } from "./ring.js";

const SVG = "http://www.w3.org/2000/svg";
const MOST_BLOCKS = 200; // dots that are drawn
const BLOCKS_MS = 900; // between two moves of the dots: blocks hop more often than anyone can follow

/** A new SVG element with attributes and children. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The ring inside a container; draw(status) brings it up to date. */
export function ringView(container) {
  const edges = svg("g");
  const groups = svg("g");
  const blocks = svg("g");
  const nodes = svg("g");
  const centre = ["soft", "epoch", "soft", "soft"].map((name, n) =>
    svg("text", { class: name, y: [-30, 0, 30, 47][n] }),
  );
  const root = svg("svg", { viewBox: "-185 -185 370 370", role: "img" }, edges, groups, blocks, nodes, ...centre);
  container.replaceChildren(root);
  let moved = -Infinity;
  let shape = "";
  let later = 0;

  function draw(status) {
    const members = status.workers.filter(isMember);
    const lost = status.workers.filter(isLost);
    const many = members.length + lost.length > MOST_NODES;
    root.setAttribute("aria-label", described(status, members, lost));
    label(centre, status, members, many);
    const plan = many ? { nodes: [], edges: [], room: 0 } : layout(status.workers);
    container.dataset.many = String(many);
    drawEdges(edges, plan.edges);
    drawSectors(groups, many ? sectors(status.workers) : []);
    drawNodes(nodes, plan);
    const standing = plan.nodes.map((node) => `${node.name} ${node.state}`).join();
    clearTimeout(later);
    const wait = standing === shape ? moved + BLOCKS_MS - performance.now() : 0;
    if (wait > 0) {
      later = setTimeout(draw, wait, status);
      return;
    }
    [shape, moved] = [standing, performance.now()];
    drawBlocks(blocks, blockPlaces(status.workers, plan.nodes).slice(0, MOST_BLOCKS), plan.nodes.length > 0);
  }
  return { draw };
}

function described(status, members, lost) {
  const parts = [`Ring of ${members.length} workers, view ${status.view}, epoch ${status.epoch}.`];
  if (status.resting) parts.push(`Resting: ${status.resting}.`);
  if (lost.length) parts.push(`Lost: ${lost.slice(0, 5).map((one) => one.name).join(", ")}.`);
  return `${parts.join(" ")} The table below has every worker.`;
}

function label(centre, status, members, many) {
  const texts = [
    status.resting ? "rests before epoch" : "epoch",
    whole(status.epoch),
    `view ${whole(status.view)}`,
    many ? `${whole(members.length)} workers` : status.model_version ? `model ${whole(status.model_version)}` : "no model yet",
  ];
  centre.forEach((element, n) => setText(element, texts[n]));
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// elements by key: the old ones are moved, new ones are made, the rest goes
function matched(parent, items, key, make) {
  const known = new Map([...parent.children].map((element) => [element.dataset.key, element]));
  for (const item of items) {
    const name = key(item);
    let element = known.get(name);
    if (!element) {
      element = make(item);
      element.dataset.key = name;
      parent.append(element);
    }
    known.delete(name);
    item.element = element;
  }
  for (const element of known.values()) element.remove();
}

function drawEdges(parent, edges) {
  matched(parent, edges, (edge) => `${edge.from} ${edge.to}`, () => svg("path", { class: "edge" }));
  for (const edge of edges) edge.element.setAttribute("d", arc(edge.start, edge.end, RADIUS));
}

function makeNode(node) {
  const element = svg(
    "g",
    { class: "node" },
    svg("title"),
    svg("circle", { class: "track" }),
    svg("circle", { class: "load", pathLength: 100, transform: "rotate(-90)" }),
    svg("circle", { class: "body" }),
    svg("path", { class: "cross", d: "M-6 -6L6 6M6 -6L-6 6" }),
    svg("text", { class: "name" }),
    svg("text", { class: "points soft" }),
  );
  element.dataset.name = node.name;
  return element;
}

function drawNodes(parent, plan) {
  matched(parent, plan.nodes, (node) => node.name, makeNode);
  for (const node of plan.nodes) {
    const [title, track, load, body, cross, name, points] = node.element.children;
    const lost = node.state === "lost";
    node.element.dataset.state = node.state;
    node.element.style.transform = `translate(${node.x.toFixed(1)}px, ${node.y.toFixed(1)}px)`;
    setText(title, `${node.name}: ${node.state}, ${whole(node.points)} points, ${percent(node.load)} busy`);
    body.setAttribute("r", node.r.toFixed(1));
    for (const circle of [track, load]) {
      circle.setAttribute("r", (node.r * 1.19).toFixed(1));
      circle.setAttribute("stroke-width", Math.max(1.5, node.r * 0.12).toFixed(1));
    }
    load.setAttribute("stroke-dasharray", `${(node.load * 100).toFixed(0)} 100`);
    cross.setAttribute("transform", `scale(${(node.r / 15).toFixed(2)})`);
    const roomy = plan.room >= 22;
    setText(name, plan.room >= 8 ? node.name : "");
    name.style.fontSize = `${lost ? 11 : Math.min(13, node.r * 0.75).toFixed(1)}px`;
    name.setAttribute("y", lost ? Math.sign(node.y || -1) * (node.r + 9) : roomy ? -6 : 0);
    setText(points, roomy && !lost ? short(node.points) : "");
    points.setAttribute("y", 8);
  }
}

function drawBlocks(parent, places, drawn) {
  const kept = new Map(places.map((place) => [place.name, place]));
  for (const element of parent.children) {
    // on its way between two workers, or just passed on: it stays where it was seen last
    if (drawn && !kept.has(element.dataset.key)) kept.set(element.dataset.key, { name: element.dataset.key, away: true });
  }
  const dots = [...kept.values()].slice(0, MOST_BLOCKS);
  matched(parent, dots, (dot) => dot.name, () => svg("g", { class: "block" }, svg("circle", { r: 4.5 }, svg("title"))));
  for (const dot of dots) {
    dot.element.classList.toggle("away", Boolean(dot.away));
    if (dot.away) continue;
    dot.element.dataset.holder = dot.holder;
    // as an angle and a radius: it travels along the ring, the shorter way round
    const before = Number(dot.element.dataset.angle ?? dot.turn * 360);
    const angle = before + (((((dot.turn * 360 - before) % 360) + 540) % 360) - 180);
    dot.element.dataset.angle = angle.toFixed(1);
    dot.element.style.transform = `rotate(${angle.toFixed(1)}deg) translateY(${-dot.radius.toFixed(1)}px)`;
    setText(dot.element.firstChild.firstChild, `${dot.name} at ${dot.holder}`);
  }
}

const INNER = 92;
const OUTER = 138;
const NAME_CHARACTERS = 9;
const GAP = 0.06; // of a sector stays empty

function drawSectors(parent, groups) {
  matched(parent, groups, (group) => String(group.start), () =>
    svg("g", { class: "sector" }, svg("title"), svg("path", { class: "back" }), svg("path", { class: "fill" }), svg("path", { class: "gone" }), svg("text", { class: "soft" })),
  );
  groups.forEach((group, n) => {
    const [title, back, fill, gone, text] = group.element.children;
    const gap = ((group.end - group.start) * GAP) / 2;
    const [start, end] = [group.start + gap, group.end - gap];
    const range = group.first === group.last ? group.first : `${group.first} to ${group.last}`;
    setText(title, `${range}: ${group.count} workers, ${percent(group.load)} busy, ${whole(group.points)} points, ${group.blocks} blocks, ${group.lost} lost`);
    back.setAttribute("d", band(start, end, INNER, OUTER));
    fill.setAttribute("d", band(start, end, INNER, INNER + (OUTER - INNER) * Math.min(1, group.load)));
    gone.setAttribute("d", group.lost ? band(start, start + (end - start) * (group.lost / group.count), OUTER + 3, OUTER + 11) : "");
    const [x, y] = at((start + end) / 2, OUTER + 25);
    text.setAttribute("x", x.toFixed(1));
    text.setAttribute("y", y.toFixed(1));
    setText(text, n % 5 ? "" : group.first.slice(-NAME_CHARACTERS));
  });
}
