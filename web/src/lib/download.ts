// What the user takes along: tables as CSV, drawings as SVG and PNG. Nothing is sent anywhere.

export interface Column<R> {
  key: string; // in the CSV's first line; plain ASCII
  title: string;
  value: (row: R) => string | number | boolean | null | undefined; // exact: sorted by, and written to the CSV
  text?: (row: R) => string; // shown; String(value) where left out
  end?: boolean; // right-aligned, for numbers
  sortable?: boolean; // default true
  wrap?: boolean; // long text may break
}

/** Comma-separated values after RFC 4180; the first line has the keys. */
export function csv<R>(columns: Column<R>[], rows: R[]): string {
  const cell = (value: unknown): string => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns.map((column) => cell(column.key)), ...rows.map((row) => columns.map((column) => cell(column.value(row))))]
    .map((line) => line.join(",") + "\r\n")
    .join("");
}

export function save(content: Blob | string, name: string, type = "text/plain"): void {
  const blob = typeof content === "string" ? new Blob([content], { type: `${type};charset=utf-8` }) : content;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Excel reads UTF-8 only behind a byte-order mark. */
export const saveCsv = <R>(columns: Column<R>[], rows: R[], name: string): void =>
  save("\ufeff" + csv(columns, rows), `${name}.csv`, "text/csv");

const PROPERTIES = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity",
  "font-family", "font-size", "font-weight", "font-style", "letter-spacing", "text-anchor", "dominant-baseline", "image-rendering",
  "visibility", "mix-blend-mode",
];

let brush: CanvasRenderingContext2D | null = null;
const painted = new Map<string, string>();

/** Any CSS colour as rgb(), which every SVG program reads; color-mix() and light-dark() are resolved by painting one pixel. */
function plain(colour: string): string {
  if (!/^(color|oklab|oklch|lab|lch)\(/.test(colour)) return colour;
  let known = painted.get(colour);
  if (!known) {
    brush ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true }) as unknown as CanvasRenderingContext2D;
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
    known = a === 255 ? `rgb(${r}, ${g}, ${b})` : `rgba(${r}, ${g}, ${b}, ${((a ?? 0) / 255).toFixed(3)})`;
    painted.set(colour, known);
  }
  return known;
}

/** The drawing as a file of its own: every style written into it, on the page's background, without controls. */
export function standalone(drawing: SVGSVGElement): { text: string; width: number; height: number } {
  const copy = drawing.cloneNode(true) as SVGSVGElement;
  const originals = [drawing, ...drawing.querySelectorAll<SVGElement>("*")];
  const copies = [copy, ...copy.querySelectorAll<SVGElement>("*")];
  originals.forEach((original, index) => {
    const target = copies[index]!;
    const style = getComputedStyle(original);
    const outside = original.closest("defs") && !/^(stop|circle|rect|path)$/.test(original.tagName);
    if (!outside) for (const name of PROPERTIES) {
      const value = style.getPropertyValue(name);
      if (value && value !== "none" || name === "fill" || name === "stroke") target.setAttribute(name, plain(value));
    }
    if (style.display === "none") target.setAttribute("display", "none");
    for (const name of ["class", "style", "tabindex", "role"]) target.removeAttribute(name);
  });
  copy.querySelectorAll("[data-control]").forEach((control) => control.remove());
  const view = drawing.viewBox.baseVal;
  const box = drawing.getBoundingClientRect();
  const [x, y, width, height] = view?.width ? [view.x, view.y, view.width, view.height] : [0, 0, box.width, box.height];
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(Math.round(Math.max(width, box.width))));
  copy.setAttribute("height", String(Math.round((Math.max(width, box.width) / width) * height)));
  copy.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ x, y, width, height })) ground.setAttribute(name, String(value));
  ground.setAttribute("fill", plain(getComputedStyle(document.documentElement).backgroundColor));
  copy.insertBefore(ground, copy.firstChild);
  return {
    text: new XMLSerializer().serializeToString(copy),
    width: Number(copy.getAttribute("width")), height: Number(copy.getAttribute("height")),
  };
}

export function saveSvg(drawing: SVGSVGElement, name: string): void {
  save(standalone(drawing).text, `${name}.svg`, "image/svg+xml");
}

/** The drawing as a picture, twice as large as on the screen. */
export async function savePng(drawing: SVGSVGElement, name: string): Promise<void> {
  const { text, width, height } = standalone(drawing);
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await picture.decode();
  const factor = Math.min(2, 8192 / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * factor);
  canvas.height = Math.round(height * factor);
  const brush = canvas.getContext("2d")!;
  brush.imageSmoothingEnabled = false;
  brush.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (blob) save(blob, `${name}.png`);
}
