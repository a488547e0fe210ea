// Where nodes, edges and frames of the drawing lie, top to bottom. dagre does the work.
import { Graph, layout } from "@dagrejs/dagre";

import { edges, frames, type Edge, type Part } from "./graph";
import type { Network } from "./api";

export const NODE = { width: 200, height: 44 };
const INPUT = { width: 110, height: 30 };
const PAD = { side: 10, top: 24, bottom: 10 }; // of a frame around its nodes

export interface Placed { part: Part; x: number; y: number; width: number; height: number } // x, y: the upper left corner
export interface Line { from: string; to: string; points: { x: number; y: number }[] }
export interface Drawing { nodes: Placed[]; lines: Line[]; frames: Placed[]; width: number; height: number }

export function arrange(network: Pick<Network, "rows">, shown: Part[]): Drawing {
  const graph = new Graph({ compound: true });
  graph.setGraph({ rankdir: "TB", nodesep: 22, ranksep: 26, edgesep: 12, marginx: 16, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  const input: Part = { id: "input", kind: "input", title: "input", from: 0, to: 0, parent: null, children: [] };
  const around = frames(shown).filter((part) => part.kind === "block");
  const blockOf = (part: Part): Part | null => {
    let outer = part.parent;
    while (outer && outer.kind === "group") outer = outer.parent;
    return outer && outer.kind === "block" ? outer : null;
  };
  for (const part of around) graph.setNode(`frame ${part.id}`, {});
  for (const part of around) {
    const outer = blockOf(part);
    if (outer) graph.setParent(`frame ${part.id}`, `frame ${outer.id}`);
  }
  for (const part of [input, ...shown]) {
    graph.setNode(part.id, { ...(part.kind === "input" ? INPUT : NODE) });
    const outer = blockOf(part);
    if (outer) graph.setParent(part.id, `frame ${outer.id}`);
  }
  const drawn: Edge[] = edges(network, shown);
  for (const edge of drawn) graph.setEdge(edge.from, edge.to);
  layout(graph);

  const nodes = [input, ...shown].map((part): Placed => {
    const { x, y, width, height } = graph.node(part.id) as { x: number; y: number; width: number; height: number };
    return { part, x: x - width / 2, y: y - height / 2, width, height };
  });
  const at = new Map(nodes.map((node) => [node.part.id, node]));
  const boxes = new Map<Part, Placed>();
  for (const part of [...around].reverse()) { // inner frames first: outer ones go around them
    const inner: Placed[] = nodes.filter((node) => blockOf(node.part) === part);
    for (const [other, box] of boxes) if (blockOf(other) === part) inner.push(box);
    if (inner.length === 0) continue;
    const left = Math.min(...inner.map((box) => box.x)) - PAD.side;
    const top = Math.min(...inner.map((box) => box.y)) - PAD.top;
    const right = Math.max(...inner.map((box) => box.x + box.width)) + PAD.side;
    const bottom = Math.max(...inner.map((box) => box.y + box.height)) + PAD.bottom;
    boxes.set(part, { part, x: left, y: top, width: right - left, height: bottom - top });
  }
  const lines = drawn.map((edge): Line => {
    const points = ((graph.edge(edge.from, edge.to) as { points?: { x: number; y: number }[] }).points ?? []).map(({ x, y }) => ({ x, y }));
    const [from, to] = [at.get(edge.from)!, at.get(edge.to)!];
    if (points.length) {
      points[0] = { x: points[0]!.x, y: from.y + from.height };
      points[points.length - 1] = { x: points.at(-1)!.x, y: to.y };
    }
    return { ...edge, points };
  });
  const all = [...nodes, ...boxes.values()];
  const shift = { x: 16 - Math.min(...all.map((box) => box.x)), y: 16 - Math.min(...all.map((box) => box.y)) };
  for (const box of all) [box.x, box.y] = [box.x + shift.x, box.y + shift.y];
  for (const line of lines) for (const point of line.points) [point.x, point.y] = [point.x + shift.x, point.y + shift.y];
  return {
    nodes, lines, frames: [...boxes.values()].reverse(),
    width: Math.max(...all.map((box) => box.x + box.width), ...lines.flatMap((line) => line.points.map((point) => point.x))) + 16,
    height: Math.max(...all.map((box) => box.y + box.height)) + 16,
  };
}

export type Direction = "up" | "down" | "left" | "right";

/** The node that an arrow key leads to: up and down along the edges, left and right to the nearest in the same row. */
export function neighbour(drawing: Drawing, id: string, direction: Direction): string | undefined {
  const at = new Map(drawing.nodes.map((node) => [node.part.id, node]));
  const here = at.get(id);
  if (!here) return undefined;
  const middle = (node: Placed): number => node.x + node.width / 2;
  const nearest = (candidates: Placed[], cost: (node: Placed) => number): string | undefined =>
    candidates.sort((a, b) => cost(a) - cost(b))[0]?.part.id;
  if (direction === "down" || direction === "up") {
    const ends = drawing.lines.filter((line) => (direction === "down" ? line.from : line.to) === id);
    const others = ends.map((line) => at.get(direction === "down" ? line.to : line.from)!);
    return nearest(others, (node) => Math.abs(node.y - here.y) + Math.abs(middle(node) - middle(here)) / 4);
  }
  const sign = direction === "right" ? 1 : -1;
  const beside = drawing.nodes.filter((node) => node !== here && sign * (middle(node) - middle(here)) > 1);
  const level = beside.filter((node) => Math.abs(node.y - here.y) < here.height);
  return nearest(level.length ? level : [], (node) => Math.abs(middle(node) - middle(here)) + Math.abs(node.y - here.y));
}
