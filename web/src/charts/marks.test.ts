import { expect, test } from "vitest";

import { markPath, seriesColour } from "./marks";

test("48 series differ in colour or in shape", () => {
  const looks = Array.from({ length: 48 }, (_, index) => seriesColour(index) + markPath(index));
  expect(new Set(looks).size).toBe(48);
});
