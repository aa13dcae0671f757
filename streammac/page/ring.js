// Where everything in the ring is drawn: positions and sizes from a status. Pure.

export const RADIUS = 128; // of the ring, in a drawing from -185 to 185
export const MOST_NODES = 40; // workers that are drawn one by one
const OUTSIDE = 156; // where lost workers are
const LARGEST = 34;
const SHRUNK = 0.5; // smallest node over the largest

/** Whether a worker takes part; older coordinators say "silent" for "lost". */
export function isMember(worker) {
  return ["alive", "joining", "draining"].includes(worker.state);
}

export function isLost(worker) {
  return worker.state === "lost" || worker.state === "silent";
}

/** w2 before w10. */
export function inOrder(workers) {
  return [...workers].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** The point at an angle: 0 is the top, clockwise, in turns. */
export function at(turn, radius) {
  const angle = (turn - 0.25) * 2 * Math.PI;
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/**
 * The ring of up to MOST_NODES workers.
 * nodes: {name, state, x, y, r, load, points, turn}; edges: {from, to, start, end} in turns, only between members.
 */
export function layout(workers) {
  const sorted = inOrder(workers);
  let members = sorted.filter(isMember);
  if (!members.length) members = sorted.filter((worker) => worker.state === "left"); // it has ended
  const count = members.length;
  const most = Math.max(1, ...sorted.map((worker) => worker.points));
  const room = count > 1 ? RADIUS * Math.sin(Math.PI / Math.max(3, count)) * 0.74 : LARGEST;
  const largest = Math.min(LARGEST, room);
  const inRing = new Map(members.map((worker, n) => [worker.name, n]));
  const node = (worker, turn, radius) => {
    const [x, y] = at(turn, radius);
    const r = largest * (SHRUNK + (1 - SHRUNK) * Math.sqrt(worker.points / most));
    const state = isLost(worker) ? "lost" : worker.state;
    return { name: worker.name, state, x, y, r, load: worker.busy_share ?? 0, points: worker.points, turn };
  };
  const nodes = members.map((worker, n) => node(worker, n / count, RADIUS));
  const gone = sorted.filter((worker) => isLost(worker) && !inRing.has(worker.name));
  nodes.push(...outside(gone, sorted, inRing, node, count));
  const edges = members.map((worker, n) => ({
    from: worker.name, to: members[(n + 1) % count].name, start: n / count, end: (n + 1) / count,
  }));
  return { nodes, edges, room: largest };
}

// a lost worker stands outside the ring, between the neighbours that have closed the gap
function outside(gone, sorted, inRing, node, count) {
  const gaps = new Map();
  for (const worker of gone) {
    const before = sorted.slice(0, sorted.indexOf(worker)).findLast((one) => inRing.has(one.name));
    const slot = before ? inRing.get(before.name) : count - 1;
    gaps.set(slot, [...(gaps.get(slot) ?? []), worker]);
  }
  return [...gaps].flatMap(([slot, those]) =>
    those.map((worker, n) => {
      const spread = (n + 1) / (those.length + 1);
      const placed = node(worker, (slot + spread) / Math.max(1, count), OUTSIDE);
      return { ...placed, r: Math.min(placed.r, 15) };
    }),
  );
}

/** Where the blocks are that workers hold: {name, turn, radius, holder}. */
export function blockPlaces(workers, nodes) {
  const places = [];
  const drawn = new Map(nodes.map((node) => [node.name, node]));
  for (const worker of workers) {
    const node = drawn.get(worker.name);
    const held = node && node.state !== "lost" ? (worker.holding ?? []) : [];
    held.forEach((name, n) => {
      const inward = RADIUS - node.r - 15 - 11 * Math.floor(n / 5);
      const side = ((n % 5) - (Math.min(held.length - 5 * Math.floor(n / 5), 5) - 1) / 2) * 11;
      const turn = node.turn + side / (2 * Math.PI * Math.max(20, inward));
      places.push({ name, turn, radius: inward, holder: worker.name });
    });
  }
  return places;
}

/** Many workers: groups of neighbours in at most MOST_NODES sectors. */
export function sectors(workers) {
  const shown = inOrder(workers).filter((worker) => isMember(worker) || isLost(worker));
  const size = Math.ceil(shown.length / MOST_NODES) || 1;
  const groups = [];
  for (let first = 0; first < shown.length; first += size) groups.push(shown.slice(first, first + size));
  return groups.map((group, n) => {
    const members = group.filter(isMember);
    return {
      first: group[0].name,
      last: group.at(-1).name,
      count: group.length,
      lost: group.length - members.length,
      load: members.reduce((sum, worker) => sum + (worker.busy_share ?? 0), 0) / (members.length || 1),
      points: group.reduce((sum, worker) => sum + worker.points, 0),
      blocks: members.reduce((sum, worker) => sum + (worker.holding?.length ?? 0), 0),
      start: n / groups.length,
      end: (n + 1) / groups.length,
    };
  });
}

/** SVG path along the ring from one turn to another (less than a full turn is one arc). */
export function arc(start, end, radius) {
  const [x, y] = at(start, radius);
  const middle = at((start + end) / 2, radius);
  const [u, v] = at(end, radius);
  const step = (point) => `A${radius} ${radius} 0 0 1 ${point.map(rounded).join(" ")}`;
  return `M${rounded(x)} ${rounded(y)}${step(middle)}${step([u, v])}`;
}

/** SVG path of a piece of a band between two radii. */
export function band(start, end, inner, outer) {
  const points = [at(start, inner), at(start, outer), at(end, outer), at(end, inner)].map((p) => p.map(rounded).join(" "));
  return `M${points[0]}L${points[1]}A${outer} ${outer} 0 0 1 ${points[2]}L${points[3]}A${inner} ${inner} 0 0 0 ${points[0]}Z`;
}

function rounded(value) {
  return Math.round(value * 100) / 100;
}
