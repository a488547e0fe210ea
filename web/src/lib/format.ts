// Numbers as text, with units: the same rules as convatlas/units.py, so that the page and the command line agree.
// Exact for tables in which the last digit matters, short for quick reading.

const DECIMAL: [number, string][] = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "K"]];
const BINARY: [number, string][] = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];

export const MISSING = "–";

/** At most four significant digits: 138.4, 42.00, 1.108. */
function four(value: number): string {
  const digits = 3 - Math.min(3, Math.max(0, value ? Math.floor(Math.log10(Math.abs(value))) : 0));
  return value.toFixed(digits);
}

const ALL_DIGITS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 20 }); // made once: it takes milliseconds

/** 138357544 -> "138,357,544" */
export const exact = (count: number | null | undefined): string =>
  count === null || count === undefined ? MISSING : ALL_DIGITS.format(count);

/** 138357544 -> "138.4 M"; counts below a thousand are not rounded. */
export function short(count: number | null | undefined): string {
  if (count === null || count === undefined) return MISSING;
  for (const [size, letter] of DECIMAL) if (Math.abs(count) >= size) return `${four(count / size)} ${letter}`;
  return significant(count, 6);
}

/** 44040192 -> "42.00 MiB"; powers of 1024. */
export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return MISSING;
  for (const [size, letter] of BINARY) if (Math.abs(count) >= size) return `${four(count / size)} ${letter}`;
  return `${significant(count, 6)} B`;
}

/** Seconds: 0.0042 -> "4.200 ms", 75 -> "1 min 15 s". */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return MISSING;
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 1e-3) return `${four(seconds * 1e6)} µs`;
  if (seconds < 1) return `${four(seconds * 1e3)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** A share: 0.9861 -> "98.61 %". */
export const percent = (share: number | null | undefined, digits = 2): string =>
  share === null || share === undefined ? MISSING : `${(100 * share).toFixed(digits)} %`;

/** A value with a few significant digits: 0.0123, -4.56, 1.20e-7. */
export function significant(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined) return MISSING;
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  if (Number.isInteger(value) && Math.abs(value) < 10 ** digits) return String(value);
  const size = Math.abs(value);
  const text = size >= 1e-4 && size < 1e6 ? value.toPrecision(digits) : value.toExponential(digits - 1);
  return (text.includes("e") && size >= 1e-4 && size < 1e6 ? String(Number(text)) : text).replace("-", "−");
}

/** A value in a narrow cell, at most seven characters: 252, 16.4, 2.05, 0.045, 1e−4. */
export function compact(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (Number.isInteger(value) && size < 1e5) return String(value).replace("-", "−");
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(0) : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
  return text.replaceAll("-", "−").replace("+", "");
}

/** A shape: [512, 14, 14] -> "512 × 14 × 14". */
export const shape = (sides: readonly number[] | null | undefined): string => (sides?.length ? sides.join(" × ") : MISSING);

/** One number where both sides are equal: [3, 3] -> "3", [1, 7] -> "1 × 7". */
export const side = (pair: readonly number[] | null | undefined): string =>
  !pair ? MISSING : pair[0] === pair[1] ? String(pair[0]) : pair.join(" × ");
