// One axis of a chart: a scale and its ticks with their texts.
import { scaleLinear, scaleLog } from "d3-scale";

export interface Axis {
  scale: (value: number) => number;
  ticks: { value: number; at: number; text: string }[];
  range: [number, number];
}

export interface AxisOptions {
  log?: boolean;
  count?: number; // about how many ticks
  nice?: boolean; // widen the domain to round numbers; default true
  text?: (value: number) => string;
}

/** An axis over `domain` (data) on `range` (px). A log axis labels 1, 2 and 5 of each decade, or fewer where the range is short. */
export function axis(domain: [number, number], range: [number, number], options: AxisOptions = {}): Axis {
  const { log = false, count = 6, nice = true, text = (value: number) => String(value) } = options;
  let [low, high] = domain;
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 1, high + 1];
  if (log) {
    const scale = scaleLog().domain([low, high]).range(range);
    if (nice) scale.nice();
    const [from, to] = scale.domain() as [number, number];
    const decades = Math.log10(to / from);
    const leading = decades > count ? [1] : decades * 3 > count ? [1] : [1, 2, 5];
    const values: number[] = [];
    for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++)
      for (const digit of leading) {
        const value = Number(`${digit}e${power}`);
        if (value >= from * 0.999 && value <= to * 1.001) values.push(value);
      }
    return { scale: (value) => scale(value), ticks: values.map((value) => ({ value, at: scale(value), text: round(text(value)) })), range };
  }
  const scale = scaleLinear().domain([low, high]).range(range);
  if (nice) scale.nice(count);
  const write = options.text ?? scale.tickFormat(count);
  return { scale: (value) => scale(value), ticks: scale.ticks(count).map((value) => ({ value, at: scale(value), text: round(write(value)) })), range };
}

/** A tick needs no zeros behind the point: "2.000 G" -> "2 G". */
const round = (text: string): string => text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
