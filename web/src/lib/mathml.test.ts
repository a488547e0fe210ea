import { expect, test } from "vitest";

import { mathml } from "./mathml";

test("a quotient is a fraction without the brackets that only grouped it", () => {
  expect(mathml("(H - K + 2P)/S + 1")!.replaceAll(/<mo [^>]+>/g, "<mo>")).toBe(
    "<mrow><mfrac><mrow><mrow><mi>H</mi><mo>−</mo><mi>K</mi></mrow><mo>+</mo><mrow><mn>2</mn><mo>&#x2062;</mo><mi>P</mi></mrow></mrow><mi>S</mi></mfrac><mo>+</mo><mn>1</mn></mrow>",
  );
});

test("numbers keep their separators, words stay words", () => {
  expect(mathml("3*3*512*512 + 512")).toContain("<mn>512</mn>");
  expect(mathml("100,352 * (4,608 + 1)")).toMatch(/<mn>100,352<\/mn><mo[^>]*>×<\/mo>/);
  expect(mathml("outputs * bytes per float")).toContain("<mi>bytes per float</mi>");
});

test("a text that is no formula is left alone", () => {
  for (const text of ["", "the whole input: every pixel", "r + (K -", "a; b"]) expect(mathml(text)).toBeNull();
});
