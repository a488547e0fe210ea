// Budgets as texts: latency<=20ms,size<=20MB. The server reads them; the page replaces one limit when a line is dragged.
import type { Cost } from "../lib/api";
import { duration, short } from "../lib/format";

export const COSTS = ["latency_p50", "latency", "size", "memory", "params", "macs"] as const satisfies readonly Cost[];

const three = (value: number): string => String(Number(value.toPrecision(3)));

/** Bytes in powers of ten, as budgets are written. */
function decimalBytes(value: number): string {
  for (const [size, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]] as const) if (value >= size) return `${three(value / size)} ${unit}`;
  return `${Math.round(value)} B`;
}

export function costText(cost: Cost, value: number | null): string {
  if (value === null) return "–";
  if (cost === "latency" || cost === "latency_p50") return duration(value);
  return cost === "size" || cost === "memory" ? decimalBytes(value) : short(value);
}

/** A limit as `convatlas compare --budget` reads it. */
export function limitText(cost: Cost, value: number): string {
  if (cost === "latency" || cost === "latency_p50") return `${cost}<=${value >= 1e-3 ? `${three(value * 1e3)}ms` : `${three(value * 1e6)}us`}`;
  if (cost === "size" || cost === "memory") return `${cost}<=${decimalBytes(value).replace(" ", "")}`;
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "K"]] as const) if (value >= size) return `${cost}<=${three(value / size)}${unit}`;
  return `${cost}<=${Math.round(value)}`;
}

/** The budget with the limit of one quantity replaced, added, or taken out (null). */
export function withLimit(budget: string, cost: Cost, limit: string | null): string {
  const name = (part: string): string => part.trim().match(/^\w+/)?.[0] ?? "";
  const parts = budget.split(",").map((part) => part.trim()).filter(Boolean);
  const rest = parts.map((part) => (name(part) === cost ? limit : part)).filter((part) => part !== null);
  return (limit !== null && !parts.some((part) => name(part) === cost) ? [...rest, limit] : rest).join(",");
}
