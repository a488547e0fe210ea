// The server's answers, and the one way to ask for them.
//
// Every address is relative, so that the page works behind a token and behind a notebook's proxy. A page saved to one
// file carries recorded answers in <script id="recorded">; they are used before the network.
// All numbers are computed by Python: the browser formats them and draws.

import { language, t } from "./i18n.svelte";

export type Size = [number, number]; // height, width
export type Kind = "printed" | "derived" | "measured";

// ------------------------------------------------------------ GET api/session

export interface Session {
  schema: 1;
  version: string;
  subjects: Subject[]; // given on the command line, in order; may be empty
  runs: boolean; // a folder of runs is open
  data: string | null; // the name of the data set given with --data
  images: Picture[]; // of --data or built in, and uploaded in this session
  limits: { bytes: number; pixels: number; formats: string[] };
}

export interface Subject {
  id: string; // an atlas name, "run:NAME", or "own:N" (a module of the user; the path itself stays on the server)
  title: string;
  kind: "atlas" | "run" | "own";
  runnable: boolean; // weights are known, or random weights may be used
  weights: string; // what the weights are: "random (untrained)", "run resnet18-001", a file's name
  classes: string[]; // of the output; empty when unknown
}

export interface Picture {
  id: string; // content hash, 16 hex digits
  name: string;
  width: number;
  height: number;
  thumbnail: string; // data URL, at most 128 px
}

// ------------------------------------------------------------ GET api/models      (history, search, opening a network)

export interface Model {
  name: string; // may be a subject id
  title: string; // of the paper
  paper: string;
  year: number;
  summary: string;
  input: [number, number, number];
  params: number;
  macs: number;
  errors: { quantity: string; printed: string; protocol: string; source: string; verified: boolean }[];
}
export interface Models { schema: 1; models: Model[] }

// ------------------------------------------------------------ GET api/network?subject=ID[&input=CxHxW]

export interface Row {
  name: string; // as `convatlas show` prints it
  path: string;
  kind: string;
  inputs: string[]; // names of rows, or "input"
  output: number[]; // [C,H,W] or [K]
  kernel: Size | null;
  stride: Size | null;
  padding: Size | null;
  dilation: Size | null;
  groups: number | null;
  params: number;
  macs: number | null;
  connections: number | null;
  activation_bytes: number;
  receptive_field: Size | null; // null: unknown
  jump: Size | null;
  start: Size | null;
  module: string;
}

export interface Block { // a module with rows in it; blocks nest by path ("layer1", "layer1.0")
  path: string;
  type: string; // class name
  parent: string; // "" for the network
  rows: [number, number]; // first row, last row + 1: its rows are neighbours
  params: number;
  macs: number;
  activation_bytes: number;
}

export interface Figure {
  quantity: string;
  printed: string;
  derived: number | null;
  measured: number | null;
  agrees: boolean | null;
  verdict: string;
  source: string;
  protocol: string;
  explanation: string;
}

export interface Network {
  schema: 1;
  subject: string;
  model: string;
  variant: string;
  title: string; // of the paper, or the class name
  input: number[];
  rows: Row[]; // exactly the rows of `show --json`
  blocks: Block[];
  totals: { params: number; macs: number; connections: number; activation_bytes: number };
  figures: Figure[];
  departures: { topic: string; paper: string; here: string; why: string }[];
  notes: string[];
  failure: { layer: string; inputs: number[][]; message: string } | null; // a broken module: rows until the failing layer
}

// ------------------------------------------------------------ GET api/layer?subject=ID&layer=ROW

export interface Step { quantity: string; formula: string; substitution: string; result: string; note: string }

export interface Layer {
  schema: 1;
  row: Row;
  heading: string;
  steps: Step[]; // the lines of `convatlas explain`
  // the receptive field of output position (y, x) on the network's input: top = origin + y * jump, height = size;
  // parts of it may lie outside the image. null where it is unknown or the whole input
  field: { origin: Size; jump: Size; size: Size } | null;
  whole: boolean; // the field is the whole input
  figures: Figure[]; // of the card, those that name this layer or a block around it
  departures: Network["departures"]; // likewise
  filters: boolean; // api/filters answers for this layer
  maps: boolean; // the output has spatial axes
}

// ------------------------------------------------------------ GET api/times?subject=ID    measured when it is asked for

export interface Times {
  schema: 1; kind: "measured";
  rows: Record<string, number>; // seconds of each row, by name
  blocks: Record<string, number>; // and of each block, by path
  rows_s: number; // of all rows
  whole_s: number; // of a pass without a clock in it
  passes: number; batch: number; threads: number; machine: string;
}

// ------------------------------------------------------------ PUT api/image?name=FILE  body: the file's bytes -> Picture

// ------------------------------------------------------------ GET api/prepared?subject=ID&image=ID

export interface Prepared {
  schema: 1;
  description: string; // the preparation in words, with its numbers
  steps: { title: string; detail: string; width: number; height: number; picture: string }[]; // data URLs; the last is what the network sees
}

// ------------------------------------------------------------ GET api/predict?subject=ID&image=ID

export interface Prediction {
  schema: 1;
  top: { label: string; index: number; probability: number; logit: number }[]; // at most 10
  weights: string;
  trained: boolean; // false: random weights, the labels mean nothing
  milliseconds: number; // measured: one forward pass, batch 1
}

// ------------------------------------------------------------ GET api/maps?subject=ID&image=ID&layer=ROW

export interface Maps {
  schema: 1;
  layer: string;
  shape: number[]; // [C,H,W] or [K]
  sprite: string; // data URL of a grey PNG: `columns` maps side by side, each `tile` px; "" for a vector
  columns: number;
  tile: Size;
  channels: { minimum: number; maximum: number; mean: number; zeros: number }[]; // per channel; zeros: share of exact 0
  dead: number[];
  values: number[]; // of a vector; empty for maps
}

// ------------------------------------------------------------ GET api/filters?subject=ID&layer=ROW

// colour: a tile for each filter, for layers that read three channels. Otherwise a row of tiles is a filter and a column an
// input channel, at most 64 of each. 0 is mid-grey; the largest weight of a filter is black or white.
export interface Filters { schema: 1; layer: string; shape: number[]; sprite: string; columns: number; tile: Size; colour: boolean }

// ------------------------------------------------------------ GET api/window?subject&image&layer&channel&y&x    one output value

export interface Window {
  schema: 1;
  operator: "conv" | "pool" | "fc" | "other";
  output: number; // the value in the network
  bias: number | null;
  inputs: { // the input channels with the largest share of the sum, at most 8 (1x1: at most 64; fc: at most 64 inputs, 1x1)
    channel: number;
    values: number[][]; // kernel-sized window of real input values; null positions are padding
    weights: number[][] | null;
    sum: number;
    top: number; left: number; // of the window on the input map, may be negative
  }[];
  rest: number; // sum over the channels not listed
  lines: string[]; // the working, as `convatlas layer` prints it
}

// ------------------------------------------------------------ GET api/attribution?subject&image&method&layer&class
// layer and class may be left out: the program chooses

export interface Attribution {
  schema: 1;
  method: string;
  layer: string;
  class: { index: number; label: string; probability: number };
  heat: string; // data URL: grey PNG of the input's size, 255 = largest
  minimum: number; maximum: number;
  signed: boolean;
  notes: { name: string; value: number }[];
  sanity: boolean; // whether the method's maps change when weights are randomised
}
// GET api/attribution/events?... -> SSE: "progress" {done, total} in images passed through the network, then "done" {Attribution} or
// "problem" {error}. Closing the connection cancels it
// GET api/effective?subject&layer -> EffectiveField
export interface EffectiveField { schema: 1; layer: string; heat: string; size: Size; pixels: number; share: number; position: Size | null }

// GET api/methods -> Methods
export interface Methods { schema: 1; methods: { name: string; title: string; source: string; sanity: boolean; needs_layer: boolean; passes: number }[] } // passes: forward passes, roughly: 2 to 1,000

// ------------------------------------------------------------ POST api/playground/layer   body: PlaygroundLayer

export interface PlaygroundLayer {
  kind: "conv" | "pool" | "fc";
  input: number[];
  channels?: number; kernel?: Size; stride?: Size; padding?: Size; dilation?: Size; groups?: number;
  bias?: boolean; pooling?: "max" | "average"; ceil_mode?: boolean; features?: number;
  before?: { field: Size; jump: Size }; // receptive field and jump of the input, in pixels of the image; 1 where left out
}
export interface LayerAnswer { // a layer that does not fit is an ApiError with its reason
  schema: 1; kind: string; input: number[]; output: number[];
  params: number; macs: number; connections: number; neurons: number; activation_bytes: number;
  steps: Step[];
  window: Record<"size" | "kernel" | "stride" | "padding" | "dilation" | "reach" | "positions", Size> | null; // null: fc
  field: { receptive_field: Size; jump: Size; steps: Step[] } | null; // after the layer, given `before`
  remarks: string[];
}
// POST api/playground/network  body: {input, layers: PlaygroundNetworkLayer[]}
export type PlaygroundNetworkLayer =
  | ({ kind: "conv" | "pool" | "fc" } & Omit<PlaygroundLayer, "input" | "kind" | "before">)
  | { kind: "relu" | "batch_norm" | "dropout" | "flatten" | "global_avgpool" };
export interface Composition {
  schema: 1; input: number[];
  names: string[]; // one for each layer that was sent
  rows: Row[]; // one for each layer that fits, in order
  totals: Network["totals"];
  failure: { index: number; layer: string; inputs: number[][]; message: string } | null; // the first that does not fit
  code: string; // PyTorch; "" for a net that does not fit
}
// GET api/playground/presets
export interface Preset { id: string; title: string; input: number[]; layers: PlaygroundNetworkLayer[] }
export interface Presets { schema: 1; layers: Preset[]; networks: Preset[] }
// GET api/playground/exercises?seed=N
export interface Exercise { id: string; title: string; question: string; answer: number; steps: Step[] }
export interface Exercises { schema: 1; seed: number; exercises: Exercise[] }

// ------------------------------------------------------------ GET api/runs

export interface RunOverview {
  id: string; name: string; model: string; data: string; started: string; epochs: number; epochs_asked: number;
  val_top1: number | null; test_top1: number | null; size_bytes: number; finished: boolean; problem: string | null;
}
export interface Runs { schema: 1; runs: RunOverview[]; comparisons: { id: string; title: string }[] }

// GET api/run?id= -> Run
// GET api/run/events?id=&after=N -> SSE: "epoch" {Epoch}, "restart" {epochs} (cut back to as many), "done" {RunResult};
// the id is the number of epochs sent, and Last-Event-ID resumes
export interface Epoch { epoch: number; train_loss: number | null; val_loss: number | null; train_top1: number | null; val_top1: number | null; lr: number | null; seconds: number | null }
export interface Run { schema: 1; overview: RunOverview; classes: string[]; recipe: Record<string, unknown>; epochs: Epoch[]; result: RunResult | null }
export interface RunResult {
  model: string; epochs: number; chosen_epoch: number | null; train_s: number; images_per_s: number; seed: number;
  val_top1: number | null; test_top1: number | null; test_top5: number | null; test_n: number | null; test_ci95: [number, number] | null; protocol: string;
}

// GET api/evaluation?id=  (measured once per run and kept) -> Evaluation
export interface Evaluation {
  schema: 1; run: string; n: number; top1: number; ci95: [number, number]; classes: string[];
  protocol: string;
  confusion: number[][]; // [actual][predicted]
  reliability: { low: number; high: number; n: number; confidence: number | null; accuracy: number | null }[]; // null: an empty bin
  calibration_error: number;
}
// GET api/mistakes?id=&actual=I&predicted=J  or  &surest=20 -> Mistakes
export interface Mistakes {
  schema: 1;
  total: number; // at most 60 of them are sent, the surest first
  images: { index: number; file: string; actual: number; predicted: number; probability: number; thumbnail: string; picture: string }[];
}

// GET api/comparison?id=  (the document of `convatlas compare --json`, with the costs that a budget can limit)
export type Cost = "latency" | "latency_p50" | "size" | "memory" | "params" | "macs"; // seconds, bytes, counts
export interface ComparisonRow {
  model: string; runs: string[]; // ids of runs
  seeds: number[]; test_top1: number; ci95: [number, number]; test_n: number; val_top1: number | null;
  costs: Record<Cost, number | null>; train_s: number; at_chance: boolean;
}
// A network as an exported file in an engine; where there is no file, `refused` says why and the measurements are missing.
export interface Deployment {
  model: string | null; engine: string | null; precision: string | null; refused: string | null;
  contract?: "kept" | "broken" | "open" | "not checked"; test_top1?: number; lost?: number; won?: number;
  latency_ms?: { p50: number; p95: number }; peak_memory_bytes?: number | null; size_bytes?: number; startup_s?: { p50: number } | null;
}
export interface Comparison {
  schema: 1; id: string; data: string; rows: ComparisonRow[]; budget: string;
  quantities: { id: Cost; title: string; example: string }[];
  deployments: Deployment[]; majority: { class: string; test_top1: number };
  failures: { model: string; why: string }[]; skipped: { model: string; why: string }[];
  conditions: { parts: Record<string, number>; training: string; split: string; machine: Record<string, string> };
}
// POST api/recommend  body: {id, budget: "latency<=20ms,size<=20MB", cost: Cost}
export interface Recommended {
  schema: 1; budget: string; limits: { quantity: Cost; at_most: number }[];
  recommendation: { model: string | null; why: string; ties: string[] };
  rows: { model: string; fits: boolean; over: string[]; pareto: boolean }[]; // pareto: front of accuracy and `cost`
}

// ------------------------------------------------------------ GET api/history

export interface PrintedError { percent: number; printed: string; protocol: string; source: string; verified: boolean }
export interface HistoryPoint {
  name: string; title: string; paper: string; family: string; variant: string; year: number; input: number[];
  params: number; macs: number;
  errors: Record<string, PrintedError>; // by kind, such as "top5_error:ILSVRC-2012"
}
export interface History { schema: 1; errors: { id: string; title: string; networks: number }[]; points: HistoryPoint[] }

// ------------------------------------------------------------ errors

export class ApiError extends Error {
  constructor(message: string, readonly status: number) { super(message); }
}

const recorded: Record<string, unknown> = JSON.parse(document.getElementById("recorded")?.textContent ?? "{}");
export const saved = Object.keys(recorded).length > 0; // this page is one file without a server

export type Parameters = Record<string, string | number | undefined>;

/** The address of a request, with its parameters in alphabetical order: also the key of a recorded answer. */
export function address(path: string, parameters: Parameters = {}): string {
  const all: Record<string, string | number | undefined> = { ...parameters, lang: language() };
  const query = Object.entries(all)
    .filter((entry): entry is [string, string | number] => entry[1] !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join("&");
  return `api/${path}?${query}`;
}

const MOST_KEPT = 150; // maps of a large layer are megabytes
const kept = new Map<string, Promise<unknown>>(); // answers do not change while the page is open, except runs

/** Whether a saved page has an answer. */
export const has = (path: string, parameters: Parameters): boolean =>
  ["en", "ko"].some((lang) => address(path, parameters).replace(/lang=(en|ko)/, `lang=${lang}`) in recorded);

/** Whether an answer is there without asking the server. */
export const known = (path: string, parameters: Parameters): boolean => saved || kept.has(address(path, parameters));

export function get<T>(path: string, parameters: Parameters = {}): Promise<T> {
  const where = address(path, parameters);
  if (where in recorded) return Promise.resolve(recorded[where] as T);
  const other = where.replace(/lang=(en|ko)/, (_, lang: string) => `lang=${lang === "ko" ? "en" : "ko"}`);
  if (other in recorded) return Promise.resolve(recorded[other] as T); // a page may be recorded in one language
  const fresh = path === "runs" || path === "run" || path === "session";
  const before = kept.get(where);
  if (before && !fresh) return before as Promise<T>;
  const answer = RUNNING.has(path) && !saved ? inLine(() => ask<T>(where, { method: "GET" })) : ask<T>(where, { method: "GET" });
  keep(where, answer);
  answer.catch(() => kept.delete(where));
  return answer;
}

// A browser opens six connections to a server. Requests that run a network use at most half of them, so that the arithmetic never
// waits for a free one; of those in line the last goes first, as it is the one that is looked at.
const RUNNING = new Set(["prepared", "predict", "maps", "filters", "window", "attribution", "effective", "times", "evaluation", "mistakes"]);
const AT_ONCE = 3;
const line: (() => void)[] = [];
let busy = 0;

async function inLine<T>(request: () => Promise<T>): Promise<T> {
  if (busy >= AT_ONCE) await new Promise<void>((go) => line.push(go));
  else busy++;
  try {
    return await request();
  } finally {
    const next = line.pop(); // takes over this place
    if (next) next();
    else busy--;
  }
}

export interface Progress { done: number; total: number }
export interface Following<T> { answer: Promise<T>; cancel: () => void }

/** As `get`, of a document that takes long: its progress is told, and it can be cancelled. A cancelled answer never comes. */
export function follow<T>(path: string, parameters: Parameters, onprogress: (progress: Progress) => void): Following<T> {
  const where = address(path, parameters);
  if (known(path, parameters)) return { answer: get<T>(path, parameters), cancel: () => undefined };
  const source = new EventSource(where.replace("?", "/events?"));
  const answer = new Promise<T>((done, fail) => {
    const end = (act: () => void) => { source.close(); act(); };
    source.addEventListener("progress", (event) => onprogress(JSON.parse((event as MessageEvent<string>).data)));
    source.addEventListener("problem", (event) => end(() => fail(new ApiError(JSON.parse((event as MessageEvent<string>).data).error, 422))));
    source.addEventListener("error", () => end(() => fail(new ApiError(t("app.no_server"), 0))));
    source.addEventListener("done", (event) => end(() => {
      const document = JSON.parse((event as MessageEvent<string>).data) as T;
      keep(where, Promise.resolve(document));
      done(document);
    }));
  });
  return { answer, cancel: () => source.close() };
}

function keep(where: string, answer: Promise<unknown>): void {
  kept.set(where, answer);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value!); // the oldest
}

export function post<T>(path: string, body: unknown): Promise<T> {
  return ask<T>(address(path), { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
}

export function putImage(file: Blob, name: string): Promise<Picture> {
  return ask<Picture>(address("image", { name }), { method: "PUT", body: file });
}

async function ask<T>(where: string, init: RequestInit): Promise<T> {
  if (saved) throw new ApiError(t("app.not_saved"), 404);
  let answer: Response;
  try {
    answer = await fetch(where, { ...init, cache: "no-store" });
  } catch {
    throw new ApiError(t("app.no_server"), 0);
  }
  const document = await answer.json();
  if (!answer.ok) throw new ApiError(document.error, answer.status);
  return document as T;
}
