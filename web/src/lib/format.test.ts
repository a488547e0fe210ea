import { expect, test } from "vitest";

import { bytes, compact, duration, exact, percent, shape, short, side, significant } from "./format";

test("counts read as on the command line", () => {
  expect(exact(138357544)).toBe("138,357,544");
  expect(short(138357544)).toBe("138.4 M");
  expect(short(3857973248)).toBe("3.858 G");
  expect(short(999)).toBe("999");
  expect(short(0)).toBe("0");
  expect(bytes(44040192)).toBe("42.00 MiB");
  expect(bytes(401408)).toBe("392.0 KiB");
  expect(bytes(12)).toBe("12 B");
  expect(percent(0.9861)).toBe("98.61 %");
});

test("durations change unit where units.py does", () => {
  expect(duration(0.0042)).toBe("4.200 ms");
  expect(duration(4.2e-5)).toBe("42.00 µs");
  expect(duration(59.94)).toBe("59.9 s");
  expect(duration(75)).toBe("1 min 15 s");
  expect(duration(7300)).toBe("2 h 01 min");
});

test("values of a network keep a few digits and a true minus sign", () => {
  expect(significant(0.012345)).toBe("0.0123");
  expect(significant(-4.5678)).toBe("−4.57");
  expect(significant(1.2e-7)).toBe("1.20e−7");
  expect(significant(123456, 3)).toBe("123000");
  expect(significant(3)).toBe("3");
});

test("values in a matrix fit their cells", () => {
  expect([252.4, 16.44, -2.051, 0.0449, -0.00014, 0, 7, 123456.7].map(compact)).toEqual(["252", "16.4", "−2.05", "0.045", "−1e−4", "0", "7", "1e5"]);
});

test("a missing number is a dash, not a zero", () => {
  for (const text of [exact, short, bytes, percent, duration, significant]) expect(text(null)).toBe("–");
  expect(shape([])).toBe("–");
  expect(side(null)).toBe("–");
});

test("shapes", () => {
  expect(shape([512, 14, 14])).toBe("512 × 14 × 14");
  expect(side([3, 3])).toBe("3");
  expect(side([1, 7])).toBe("1 × 7");
});
