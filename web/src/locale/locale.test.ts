import { expect, test } from "vitest";

import en from "./en.json";
import ko from "./ko.json";

test("the two languages have the same keys and placeholders", () => {
  const placeholders = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  expect(Object.keys(ko).sort()).toEqual(Object.keys(en).sort());
  for (const [key, text] of Object.entries(en)) expect(placeholders(ko[key as keyof typeof ko])).toEqual(placeholders(text));
});
