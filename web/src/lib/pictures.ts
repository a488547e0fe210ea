// Where a channel lies in a sprite, and where a receptive field lies on the input. Geometry of drawing only.
import type { Layer, Prepared, Size } from "./api";

export interface Box { x: number; y: number; width: number; height: number }

export const cell = (index: number, columns: number, tile: Size): Box => ({
  x: (index % columns) * tile[1], y: Math.floor(index / columns) * tile[0], width: tile[1], height: tile[0],
});

export const spriteSize = (count: number, columns: number, tile: Size): { width: number; height: number } => ({
  width: Math.min(count, columns) * tile[1], height: Math.ceil(count / columns) * tile[0],
});

/** The pixels of the input that output position (y, x) can see; parts may lie outside the image. */
export const fieldBox = (field: NonNullable<Layer["field"]>, y: number, x: number): Box => ({
  x: field.origin[1] + x * field.jump[1], y: field.origin[0] + y * field.jump[0], width: field.size[1], height: field.size[0],
});

/** The image as the network gets it, in its own colours: the last step of that size before the values are normalised. */
export function networkView(prepared: Prepared): Prepared["steps"][number] | undefined {
  const last = prepared.steps.at(-1);
  const before = prepared.steps.at(-2);
  return before && last && before.width === last.width && before.height === last.height ? before : last;
}

export const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));
