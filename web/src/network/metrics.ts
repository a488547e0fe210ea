// What the drawing's nodes can be coloured by.
import type { Network, Row, Times } from "../lib/api";
import { bytes, duration, short, side } from "../lib/format";
import { output, type Part } from "../lib/graph";

export type Metric = "kind" | "params" | "macs" | "memory" | "field" | "time";
export const METRICS: Metric[] = ["kind", "params", "macs", "memory", "field", "time"];

/** The value of a node; null where it has none. Sums of blocks come from the server; a group of blocks has none. */
export function value(network: Network, part: Part, metric: Metric, times?: Times): number | null {
  if (metric === "kind") return null;
  if (metric === "time") return (part.row ? times?.rows[part.row.name] : part.block ? times?.blocks[part.block.path] : null) ?? null;
  if (metric === "field") {
    const field = output(network, part)?.receptive_field;
    return field ? Math.max(...field) : null;
  }
  const key = metric === "memory" ? "activation_bytes" : metric;
  return part.row ? part.row[key] : part.block ? part.block[key] : null;
}

export function valueText(network: Network, part: Part, metric: Metric, times?: Times): string {
  if (metric === "field") {
    const field = output(network, part)?.receptive_field;
    return field ? `r = ${side(field)}` : "";
  }
  const found = value(network, part, metric === "kind" ? "params" : metric, times);
  if (!found) return "";
  return metric === "memory" ? bytes(found) : metric === "time" ? duration(found) : short(found);
}

/** The family of a layer: its colour in the drawing. */
export function family(kind: Row["kind"]): "conv" | "fc" | "pool" | "norm" | "act" | "join" | "other" {
  if (kind === "conv") return "conv";
  if (kind === "fc" || kind === "rbf") return "fc";
  if (/pool|subsample/.test(kind)) return "pool";
  if (/norm|lrn/.test(kind)) return "norm";
  if (/relu|tanh|sigmoid|softmax|gelu|silu|elu/.test(kind)) return "act";
  if (/^(add|concat|mul)$/.test(kind)) return "join";
  return "other";
}
