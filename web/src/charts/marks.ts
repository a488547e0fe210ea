// Series that differ in colour, in shape and in dash: for print, and without colour vision.
import { symbol, symbolCircle, symbolCross, symbolDiamond, symbolSquare, symbolStar, symbolTriangle } from "d3-shape";

const SHAPES = [symbolCircle, symbolSquare, symbolTriangle, symbolDiamond, symbolCross, symbolStar];
export const DASHES = ["", "6 3", "2 2", "8 3 2 3", "1 3", "10 4"];
const COLOURS = 8;

export const seriesColour = (index: number): string => `var(--series-${(index % COLOURS) + 1})`;

/** The mark of a series around (0, 0). Colours repeat after the eighth series with another shape: 48 differ. */
export const markPath = (index: number, area = 64): string =>
  symbol(SHAPES[(index + 2 * Math.floor(index / COLOURS) + Math.floor(index / (3 * COLOURS))) % SHAPES.length]!, area)() ?? "";
