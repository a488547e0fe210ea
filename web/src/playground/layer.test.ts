import { expect, test } from "vitest";

import { layerFromQuery, layerToQuery, netFromText, netToText, taps } from "./layer";

test("a layer survives its address", () => {
  const query = { kind: "conv", input: "64x56x56", kernel: "1x7", stride: "2", padding: "0x3", dilation: "1", channels: "128", groups: "4", bias: "no", field: "6", jump: "2" };
  const layer = layerFromQuery(query);
  expect(layer).toMatchObject({ kernel: [1, 7], stride: [2, 2], padding: [0, 3], groups: 4, bias: false, before: { field: [6, 6], jump: [2, 2] } });
  expect(layerFromQuery(layerToQuery(layer) as Record<string, string>)).toEqual(layer);
});

test("without an address it is AlexNet's first layer", () => {
  expect(layerFromQuery({})).toEqual({
    kind: "conv", input: [3, 227, 227], channels: 96, kernel: [11, 11], stride: [4, 4], padding: [0, 0], dilation: [1, 1], groups: 1, bias: true,
  });
});

test("nonsense in the address leaves what was there", () => {
  expect(layerFromQuery({ kind: "lstm", kernel: "-3", stride: "a", input: "1x2" })).toEqual(layerFromQuery({}));
});

test("a net survives its address", () => {
  const text = "conv-6-k5-s1-p2,relu,avgpool-k2-s2,conv-16-k3x1-s1-d2-g2-nobias,batch_norm,maxpool-k3-s2-p1-ceil,dropout,global_avgpool,flatten,fc-10-nobias";
  const layers = netFromText(text);
  expect(layers[3]).toEqual({ kind: "conv", channels: 16, kernel: [3, 1], stride: [1, 1], padding: [0, 0], dilation: [2, 2], groups: 2, bias: false });
  expect(netToText(layers)).toBe(text);
  expect(netFromText(netToText(layers))).toEqual(layers);
  expect(netFromText("")).toEqual([]);
  expect(netFromText("lstm,relu")).toEqual([{ kind: "relu" }]);
});

test("the taps of a window, padding included", () => {
  expect(taps(0, 3, 1, 1, 1)).toEqual([-1, 0, 1]);
  expect(taps(2, 3, 4, 0, 2)).toEqual([8, 10, 12]);
});
