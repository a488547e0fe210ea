import { describe, expect, test } from "vitest";

import { networkDocument } from "./documents";
import { canOpen, collapse, edges, expand, find, frames, initial, LIMIT, reveal, tree, visible, withAround } from "./graph";
import { arrange, neighbour } from "./layout";

const NAMES = ["lenet5", "vgg16", "resnet50", "googlenet", "densenet264", "resnet1202_cifar", "inception_resnet_v2"];
const networks = new Map(NAMES.map((name) => [name, networkDocument(name)]));

describe.each(NAMES)("%s", (name) => {
  const network = networks.get(name)!;
  const root = tree(network);

  test("every row is in the tree once, in order", () => {
    const names: string[] = [];
    const walk = (part: typeof root): void => {
      if (part.row) names.push(part.row.name);
      part.children.forEach(walk);
    };
    walk(root);
    expect(names).toEqual(network.rows.map((row) => row.name));
  });

  test("at first blocks are closed and the drawing is small", () => {
    const shown = visible(root, initial(root));
    expect(shown.length).toBeLessThanOrEqual(40);
    expect(shown.length).toBeGreaterThan(3);
  });

  test("what is shown covers the rows without gap or overlap, whatever is open", () => {
    let open = initial(root);
    for (const part of visible(root, open).filter(canOpen).slice(0, 5)) {
      open = expand(root, open, part.id);
      let next = 0;
      for (const shown of visible(root, open)) {
        expect(shown.from).toBe(next);
        next = shown.to;
      }
      expect(next).toBe(network.rows.length);
    }
  });

  test("never over some 60 nodes, however one opens block after block", () => {
    let open = initial(root);
    let state = 7;
    for (let step = 0; step < 60; step++) {
      const closed = visible(root, open).filter(canOpen);
      if (closed.length === 0) break;
      state = (state * 1103515245 + 12345) % 2147483648;
      const chosen = closed[state % closed.length]!;
      open = expand(root, open, chosen.id);
      const shown = visible(root, open);
      expect(shown.length).toBeLessThanOrEqual(LIMIT);
      expect(shown.some((part) => part.parent === find(root, chosen.id))).toBe(true); // what was opened is seen
    }
  });

  test("every row can be revealed, and closing its block hides it", () => {
    for (const index of [0, Math.floor(network.rows.length / 2), network.rows.length - 1]) {
      const row = network.rows[index]!.name;
      const open = reveal(root, initial(root), row);
      expect(visible(root, open).map((part) => part.id)).toContain(row);
      const parent = find(root, row)!.parent!;
      if (parent.kind !== "root") expect(visible(root, collapse(root, open, parent.id)).map((part) => part.id)).not.toContain(row);
    }
  });

  test("edges join shown nodes, and every node but the input is reached", () => {
    const shown = visible(root, initial(root));
    const found = edges(network, shown);
    const ids = new Set(["input", ...shown.map((part) => part.id)]);
    for (const edge of found) expect(ids.has(edge.from) && ids.has(edge.to)).toBe(true);
    for (const part of shown) expect(found.some((edge) => edge.to === part.id)).toBe(true);
  });

  test("nodes do not overlap, edges lead downwards, frames hold their nodes", () => {
    let open = initial(root);
    const closed = visible(root, open).find(canOpen);
    if (closed) open = expand(root, open, closed.id);
    const shown = visible(root, open);
    const drawing = arrange(network, shown);
    for (const [index, a] of drawing.nodes.entries())
      for (const b of drawing.nodes.slice(index + 1))
        expect(a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y, `${a.part.id} over ${b.part.id}`).toBe(true);
    for (const line of drawing.lines) expect(line.points[0]!.y).toBeLessThan(line.points.at(-1)!.y);
    for (const frame of drawing.frames)
      for (const node of drawing.nodes.filter((each) => each.part.parent === frame.part)) {
        expect(node.x).toBeGreaterThan(frame.x);
        expect(node.y + node.height).toBeLessThan(frame.y + frame.height);
      }
    expect(drawing.frames.length).toBe(frames(shown).filter((part) => part.kind === "block").length);
  });

  test("the arrow down leads from the input to the last row", () => {
    const drawing = arrange(network, visible(root, initial(root)));
    let here = "input";
    for (let step = 0; step < 100; step++) {
      const next = neighbour(drawing, here, "down");
      if (next === undefined) break;
      expect(neighbour(drawing, next, "up")).toBeDefined();
      here = next;
    }
    expect(drawing.nodes.find((node) => node.part.id === here)!.part.to).toBe(network.rows.length);
  });
});

test("an address that names an inner block opens those around it; unknown names are left out", () => {
  const root = tree(networks.get("resnet50")!);
  const open = withAround(root, ["block:conv3_x.1", "block:gone"]);
  expect(open).toEqual(["block:conv3_x", "block:conv3_x.1"]);
  expect(visible(root, open).map((part) => part.id)).toContain("conv3_x.1.conv2");
});

test("1202 layers are opened and laid out at once", () => {
  const network = networks.get("resnet1202_cifar")!;
  const start = performance.now();
  const root = tree(network);
  arrange(network, visible(root, initial(root)));
  expect(performance.now() - start).toBeLessThan(1000);
});
