// The playground's settings and their texts in the address: one layer as query parameters, a net as one short text.
import type { PlaygroundLayer, PlaygroundNetworkLayer, Size } from "../lib/api";

export const KINDS = ["conv", "pool", "fc", "relu", "batch_norm", "dropout", "flatten", "global_avgpool"] as const;
export type Kind = (typeof KINDS)[number];
export type WithNumbers = Extract<PlaygroundNetworkLayer, { kind: "conv" | "pool" | "fc" }>;

const SIDES = ["kernel", "stride", "padding", "dilation"] as const;
export type SideName = (typeof SIDES)[number];

/** The settings with which a layer of a kind begins; every field that its kind has is there. */
export function initial(kind: "conv" | "pool" | "fc"): WithNumbers {
  const sides = (kernel: number, stride: number) => ({ kernel: [kernel, kernel] as Size, stride: [stride, stride] as Size, padding: [0, 0] as Size, dilation: [1, 1] as Size });
  if (kind === "conv") return { kind, channels: 32, ...sides(3, 1), padding: [1, 1], groups: 1, bias: true };
  if (kind === "pool") return { kind, ...sides(2, 2), pooling: "max", ceil_mode: false };
  return { kind, features: 10, bias: true };
}

export const newLayer = (kind: Kind): PlaygroundNetworkLayer => (kind === "conv" || kind === "pool" || kind === "fc" ? initial(kind) : { kind });
export const hasNumbers = (layer: PlaygroundNetworkLayer): layer is WithNumbers => "kernel" in layer || "features" in layer;

// ------------------------------------------------------------ texts: 11, 3x5, 3x227x227

export const sideText = (pair: Size): string => (pair[0] === pair[1] ? String(pair[0]) : pair.join("x"));

export function numbers(text: string | undefined): number[] | undefined {
  const parts = text?.split("x").map(Number);
  return parts?.every((part) => Number.isInteger(part) && part >= 0) ? parts : undefined;
}

export function sideOf(text: string | undefined): Size | undefined {
  const parts = numbers(text);
  if (parts?.length === 1) return [parts[0]!, parts[0]!];
  return parts?.length === 2 ? [parts[0]!, parts[1]!] : undefined;
}

export function shapeOf(text: string | undefined): number[] | undefined {
  const parts = numbers(text);
  return parts && (parts.length === 1 || parts.length === 3) ? parts : undefined;
}

// ------------------------------------------------------------ one layer and its query

type Query = Record<string, string | undefined>;

export function layerFromQuery(query: Query): PlaygroundLayer {
  const kind = query["kind"] === "pool" || query["kind"] === "fc" ? query["kind"] : "conv";
  const start: WithNumbers = kind === "conv" ? { kind, channels: 96, kernel: [11, 11], stride: [4, 4], padding: [0, 0], dilation: [1, 1], groups: 1, bias: true } : initial(kind);
  const layer: PlaygroundLayer = { ...start, input: shapeOf(query["input"]) ?? [3, 227, 227] };
  for (const name of SIDES) if (layer[name]) layer[name] = sideOf(query[name]) ?? layer[name];
  for (const name of ["channels", "groups", "features"] as const)
    if (layer[name] !== undefined) layer[name] = numbers(query[name])?.[0] ?? layer[name];
  if (layer.bias !== undefined) layer.bias = query["bias"] !== "no";
  if (kind === "pool") [layer.pooling, layer.ceil_mode] = [query["pooling"] === "average" ? "average" : "max", query["ceil"] === "yes"];
  const before = { field: sideOf(query["field"]) ?? [1, 1], jump: sideOf(query["jump"]) ?? [1, 1] } as { field: Size; jump: Size };
  if (kind !== "fc" && (before.field.some((side) => side > 1) || before.jump.some((side) => side > 1))) layer.before = before;
  return layer;
}

/** All parameters of a layer; undefined removes one that its kind does not have. */
export function layerToQuery(layer: PlaygroundLayer): Query {
  const sides = Object.fromEntries(SIDES.map((name) => [name, layer[name] && sideText(layer[name])]));
  const text = (value: number | undefined) => (value === undefined ? undefined : String(value));
  return {
    kind: layer.kind,
    input: layer.input.join("x"),
    ...sides,
    channels: text(layer.channels),
    groups: layer.groups === 1 ? undefined : text(layer.groups),
    features: text(layer.features),
    bias: layer.bias === false ? "no" : undefined,
    pooling: layer.pooling === "average" ? "average" : undefined,
    ceil: layer.ceil_mode ? "yes" : undefined,
    field: layer.before && sideText(layer.before.field),
    jump: layer.before && sideText(layer.before.jump),
  };
}

// ------------------------------------------------------------ a net and its text: conv-6-k5,relu,avgpool-k2-s2,fc-10

const SHORT: Record<SideName, string> = { kernel: "k", stride: "s", padding: "p", dilation: "d" };

function layerText(layer: PlaygroundNetworkLayer): string {
  if (!hasNumbers(layer)) return layer.kind;
  if (layer.kind === "fc") return `fc-${layer.features}${layer.bias === false ? "-nobias" : ""}`;
  const first = layer.kind === "conv" ? `conv-${layer.channels}` : `${layer.pooling === "average" ? "avg" : "max"}pool`;
  const sides = SIDES.filter((name) => layer[name] && (name === "kernel" || name === "stride" || sideText(layer[name]!) !== (name === "padding" ? "0" : "1")));
  const rest = [
    ...sides.map((name) => SHORT[name] + sideText(layer[name]!)),
    ...((layer.groups ?? 1) > 1 ? [`g${layer.groups}`] : []),
    ...(layer.kind === "conv" && layer.bias === false ? ["nobias"] : []),
    ...(layer.ceil_mode ? ["ceil"] : []),
  ];
  return [first, ...rest].join("-");
}

function layerOf(text: string): PlaygroundNetworkLayer | undefined {
  const [name, ...parts] = text.split("-");
  if (name === "fc") return { kind: "fc", features: Number(parts[0]) || 10, bias: !parts.includes("nobias") };
  if (name !== "conv" && name !== "maxpool" && name !== "avgpool") {
    const kind = KINDS.find((each) => each === name);
    return kind && kind !== "conv" && kind !== "pool" && kind !== "fc" ? { kind } : undefined;
  }
  const layer = initial(name === "conv" ? "conv" : "pool");
  layer.padding = [0, 0];
  if (name === "conv") [layer.channels, layer.bias] = [Number(parts[0]) || 1, !parts.includes("nobias")];
  else [layer.pooling, layer.ceil_mode] = [name === "avgpool" ? "average" : "max", parts.includes("ceil")];
  for (const side of SIDES) {
    const part = parts.find((each) => each.startsWith(SHORT[side]) && /^\w\d/.test(each));
    layer[side] = sideOf(part?.slice(1)) ?? layer[side];
  }
  const groups = parts.find((each) => /^g\d/.test(each));
  if (name === "conv" && groups) layer.groups = Number(groups.slice(1));
  return layer;
}

export const netToText = (layers: PlaygroundNetworkLayer[]): string => layers.map(layerText).join(",");

export const netFromText = (text: string): PlaygroundNetworkLayer[] =>
  text.split(",").map(layerOf).filter((layer) => layer !== undefined);

// ------------------------------------------------------------ the window over the padded input

/** Rows (or columns) that output position `at` reads; negative ones, and those from `size` on, are padding. */
export function taps(at: number, kernel: number, stride: number, padding: number, dilation: number): number[] {
  const first = at * stride - padding;
  return Array.from({ length: kernel }, (_, tap) => first + tap * dilation);
}
