import { expect, test } from "vitest";

import { axis } from "./axis";

test("a linear axis has round ticks inside its range", () => {
  const drawn = axis([0, 97], [0, 200], { count: 5 });
  expect(drawn.ticks.map((tick) => tick.text)).toEqual(["0", "20", "40", "60", "80", "100"]);
  expect(drawn.ticks.at(-1)!.at).toBe(200);
});

test("a log axis labels decades when it spans many", () => {
  const drawn = axis([6e4, 1.4e8], [0, 300], { log: true, count: 5 });
  expect(drawn.ticks.map((tick) => tick.value)).toEqual([1e4, 1e5, 1e6, 1e7, 1e8, 1e9]);
});

test("one value still gives a scale", () => {
  expect(axis([5, 5], [0, 100]).scale(5)).toBe(50);
});

test("ticks have no zeros behind the point, but keep those before it", () => {
  const drawn = axis([0, 2e9], [0, 100], { count: 2, text: (value) => (value ? `${(value / 1e9).toFixed(3)} G` : "100") });
  expect(drawn.ticks.map((tick) => tick.text)).toEqual(["100", "1 G", "2 G"]);
});
