// Which parts of a network the drawing shows: blocks that are open show what is in them, all others are one node.
// Never over some 60 nodes at once, also for 1202 layers: long blocks are cut into groups, and opening one block closes
// others that were opened earlier. Pure functions of the network's document.
import type { Block, Network, Row } from "./api";

export const LIMIT = 60; // nodes at once
const AT_START = 40; // nodes of a network that was just opened
const CHILDREN = 20; // parts of one block before they are cut into groups

export interface Part {
  id: string; // in the address: row's name, "block:PATH", or "group:PATH:FROM-TO" with row numbers
  kind: "row" | "block" | "group" | "root" | "input" | "failure";
  title: string; // short: without the name of the block around it
  from: number; // its rows: first, last + 1
  to: number;
  parent: Part | null;
  children: Part[];
  row?: Row;
  block?: Block;
}

export interface Edge { from: string; to: string }

/** The whole network as nested parts, in the order of its rows. */
export function tree(network: Pick<Network, "rows" | "blocks" | "failure">): Part {
  const { rows } = network;
  const root: Part = { id: "", kind: "root", title: "", from: 0, to: rows.length, parent: null, children: [] };
  const parts = new Map<string, Part>([["", root]]);
  for (const block of [...network.blocks].sort((a, b) => a.path.split(".").length - b.path.split(".").length)) {
    const parent = parts.get(block.parent) ?? root;
    const part: Part = { id: `block:${block.path}`, kind: "block", title: short(block.path, block.parent), from: block.rows[0], to: block.rows[1], parent, children: [], block };
    parts.set(block.path, part);
    parent.children.push(part);
  }
  for (const part of parts.values()) fill(part, rows);
  if (network.failure) place(root, { id: "failure", kind: "failure", title: network.failure.layer, from: rows.length, to: rows.length, parent: root, children: [] }, network.failure.layer);
  simplify(root);
  group(root);
  return root;
}

/** Put rows that belong to no inner block between the blocks. */
function fill(part: Part, rows: Row[]): void {
  const blocks = part.children.filter((child) => child.kind === "block").sort((a, b) => a.from - b.from);
  const path = part.block?.path ?? "";
  const all: Part[] = [];
  let next = part.from;
  const until = (end: number): void => {
    for (; next < end; next++) {
      const row = rows[next]!;
      all.push({ id: row.name, kind: "row", title: short(row.name, path), from: next, to: next + 1, parent: part, children: [], row });
    }
  };
  for (const block of blocks) {
    until(block.from);
    all.push(block);
    next = block.to;
  }
  until(part.to);
  part.children = all;
}

/** The layer at which a network stopped stands behind the last row, inside the blocks that its name names. */
function place(root: Part, failing: Part, layer: string): void {
  let parent = root;
  for (;;) {
    const inner = parent.children.find((child) => child.kind === "block" && layer.startsWith(`${child.block!.path}.`));
    if (!inner) break;
    parent = inner;
  }
  failing.parent = parent;
  failing.title = short(layer, parent.block?.path ?? "");
  parent.children.push(failing);
}

/** A block with one thing in it is shown as that thing, under the block's own name. */
function simplify(part: Part): void {
  part.children = part.children.map((child) => {
    let inner = child;
    let title = child.title;
    while (inner.kind === "block" && inner.children.length === 1) {
      inner = inner.children[0]!;
      title = `${title}.${inner.title}`;
    }
    if (inner !== child) {
      inner.parent = part;
      inner.title = title;
    }
    simplify(inner);
    return inner;
  });
}

function group(part: Part): void {
  for (const child of part.children) group(child);
  while (part.children.length > CHILDREN && part.kind !== "group") {
    const size = Math.min(CHILDREN, Math.ceil(part.children.length / Math.ceil(part.children.length / CHILDREN)));
    const groups: Part[] = [];
    for (let start = 0; start < part.children.length; start += size) {
      const children = part.children.slice(start, start + size);
      const [first, last] = [children[0]!, children.at(-1)!];
      const whole: Part = {
        id: `group:${part.block?.path ?? ""}:${first.from}-${last.to}`, kind: "group", title: `${first.title} … ${last.title}`,
        from: first.from, to: last.to, parent: part, children,
      };
      for (const child of children) child.parent = whole;
      groups.push(whole);
    }
    part.children = groups;
  }
}

const short = (path: string, parent: string): string => (parent && path.startsWith(`${parent}.`) ? path.slice(parent.length + 1) : path);

export const canOpen = (part: Part): boolean => part.kind === "block" || part.kind === "group";

/** The nodes, in the order of the rows. */
export function visible(root: Part, open: Iterable<string>): Part[] {
  const opened = new Set(open);
  const shown: Part[] = [];
  const walk = (part: Part): void => {
    for (const child of part.children) {
      if (canOpen(child) && opened.has(child.id)) walk(child);
      else shown.push(child);
    }
  };
  walk(root);
  return shown;
}

/** How many nodes there are at every level: open level after level while the drawing stays easy to survey. */
export function initial(root: Part): string[] {
  let open: string[] = [];
  for (;;) {
    const next = visible(root, open).filter(canOpen).map((part) => part.id);
    if (next.length === 0 || visible(root, [...open, ...next]).length > AT_START) break;
    open = [...open, ...next];
  }
  for (let part = find(root, "failure")?.parent; part && part.kind !== "root"; part = part.parent) if (!open.includes(part.id)) open.push(part.id);
  return open;
}

/** Open a block. Blocks opened earlier are closed until the drawing has room; those around it stay open. */
export function expand(root: Part, open: readonly string[], id: string): string[] {
  const around = new Set<string>();
  for (let part: Part | null | undefined = find(root, id); part; part = part.parent) around.add(part.id);
  const wanted = [...around].filter((each) => each !== "" && canOpenId(root, each));
  let next = [...open.filter((each) => !wanted.includes(each)), ...wanted.reverse()];
  while (visible(root, next).length > LIMIT) {
    const oldest = next.find((each) => !around.has(each));
    if (oldest === undefined) break;
    next = collapse(root, next, oldest);
  }
  return next;
}

/** These blocks and those around them; what does not exist is left out. */
export function withAround(root: Part, ids: readonly string[]): string[] {
  const all = new Set<string>();
  for (const id of ids) {
    const chain: string[] = [];
    for (let part: Part | null | undefined = find(root, id); part && canOpen(part); part = part.parent) chain.unshift(part.id);
    chain.forEach((each) => all.add(each));
  }
  return [...all];
}

/** Close a block, and what is open inside it. */
export function collapse(root: Part, open: readonly string[], id: string): string[] {
  const part = find(root, id);
  if (!part) return open.filter((each) => each !== id);
  return open.filter((each) => {
    for (let inner: Part | null | undefined = find(root, each); inner; inner = inner.parent) if (inner === part) return false;
    return true;
  });
}

/** Open what hides a row. */
export function reveal(root: Part, open: readonly string[], name: string): string[] {
  const parent = find(root, name)?.parent;
  if (!parent || parent.kind === "root") return [...open];
  const shown = visible(root, open).some((part) => part.id === name);
  return shown ? [...open] : expand(root, open, parent.id);
}

const indices = new WeakMap<Part, Map<string, Part>>();

export function find(root: Part, id: string): Part | undefined {
  let index = indices.get(root);
  if (!index) {
    index = new Map();
    const walk = (part: Part): void => {
      index!.set(part.id, part);
      part.children.forEach(walk);
    };
    walk(root);
    indices.set(root, index);
  }
  return index.get(id);
}

const canOpenId = (root: Part, id: string): boolean => {
  const part = find(root, id);
  return part !== undefined && canOpen(part);
};

/** The blocks and groups around the shown parts that are open, outermost first. */
export function frames(shown: Part[]): Part[] {
  const found = new Set<Part>();
  for (const part of shown) {
    const chain: Part[] = [];
    for (let around = part.parent; around && around.kind !== "root"; around = around.parent) chain.unshift(around);
    chain.forEach((each) => found.add(each));
  }
  return [...found];
}

/** Which node feeds which: each edge once, none inside a closed block. "input" is the network's input. */
export function edges(network: Pick<Network, "rows">, shown: Part[]): Edge[] {
  const owner = new Map<string, string>([["input", "input"]]);
  for (const part of shown) for (let index = part.from; index < part.to; index++) owner.set(network.rows[index]!.name, part.id);
  const seen = new Set<string>();
  const found: Edge[] = [];
  const add = (from: string | undefined, to: string): void => {
    if (from === undefined || from === to || seen.has(`${from}\n${to}`)) return;
    seen.add(`${from}\n${to}`);
    found.push({ from, to });
  };
  for (const part of shown) {
    if (part.kind === "failure") {
      const last = network.rows.at(-1);
      add(last ? owner.get(last.name) : "input", part.id);
    }
    for (let index = part.from; index < part.to; index++) for (const input of network.rows[index]!.inputs) add(owner.get(input), part.id);
  }
  return found;
}

/** The last row of a part: the one whose output leaves it. */
export const output = (network: Pick<Network, "rows">, part: Part): Row | undefined => network.rows[part.to - 1];
