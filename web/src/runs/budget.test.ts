import { expect, test } from "vitest";

import { costText, limitText, withLimit } from "./budget";

test("limits are written as the command line reads them", () => {
  expect(limitText("latency_p50", 0.01234)).toBe("latency_p50<=12.3ms");
  expect(limitText("latency", 5.5e-5)).toBe("latency<=55us");
  expect(limitText("size", 1067416)).toBe("size<=1.07MB");
  expect(limitText("memory", 900)).toBe("memory<=900B");
  expect(limitText("params", 266610)).toBe("params<=267K");
  expect(limitText("macs", 40256128)).toBe("macs<=40.3M");
});

test("dragging one line leaves the other limits", () => {
  expect(withLimit("latency<=20ms, size<=20MB", "size", "size<=1MB")).toBe("latency<=20ms,size<=1MB");
  expect(withLimit("latency<=20ms", "latency_p50", "latency_p50<=1ms")).toBe("latency<=20ms,latency_p50<=1ms");
  expect(withLimit("latency<=20ms,size<=20MB", "latency", null)).toBe("size<=20MB");
  expect(withLimit("", "size", null)).toBe("");
});

test("costs as text", () => {
  expect(costText("latency_p50", 0.0042)).toBe("4.200 ms");
  expect(costText("size", 1067416)).toBe("1.07 MB");
  expect(costText("memory", null)).toBe("–");
});
