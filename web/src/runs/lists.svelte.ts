// Images that the user wants to relabel or leave out, per run: kept in this browser, exported as CSV. No file is changed.
import type { Mistakes } from "../lib/api";
import { saveCsv } from "../lib/download";

export type Mark = Pick<Mistakes["images"][number], "file" | "actual" | "predicted" | "probability"> & { label: number | null; exclude: boolean };

const place = (run: string): string => `convatlas.lists.${run}`;

function read(run: string): Record<string, Mark> {
  try {
    return JSON.parse(localStorage.getItem(place(run)) ?? "{}") as Record<string, Mark>;
  } catch {
    return {}; // no storage, or not ours
  }
}

export class Lists {
  marks = $state<Record<string, Mark>>({});

  constructor(readonly run: string) {
    this.marks = read(run);
  }

  get all(): Mark[] {
    return Object.values(this.marks).sort((a, b) => a.file.localeCompare(b.file));
  }
  get relabelled(): Mark[] {
    return this.all.filter((mark) => mark.label !== null && !mark.exclude);
  }
  get excluded(): Mark[] {
    return this.all.filter((mark) => mark.exclude);
  }

  set(image: Mistakes["images"][number] | Mark, change: Partial<Pick<Mark, "label" | "exclude">>): void {
    const { file, actual, predicted, probability } = image;
    const mark: Mark = { ...(this.marks[file] ?? { file, actual, predicted, probability, label: null, exclude: false }), ...change };
    if (mark.label === mark.actual) mark.label = null;
    if (mark.label === null && !mark.exclude) delete this.marks[file];
    else this.marks[file] = mark;
    this.keep();
  }
  clear(): void {
    this.marks = {};
    this.keep();
  }

  private keep(): void {
    try {
      localStorage.setItem(place(this.run), JSON.stringify(this.marks));
    } catch {
      // without storage the lists last until the page is closed
    }
  }

  saveRelabelled(classes: string[], name: string): void {
    saveCsv<Mark>([
      { key: "file", title: "", value: (mark) => mark.file },
      { key: "label", title: "", value: (mark) => classes[mark.label!] },
      { key: "old_label", title: "", value: (mark) => classes[mark.actual] },
      { key: "predicted", title: "", value: (mark) => classes[mark.predicted] },
      { key: "probability", title: "", value: (mark) => mark.probability },
    ], this.relabelled, `${name}-relabel`);
  }
  saveExcluded(classes: string[], name: string): void {
    saveCsv<Mark>([
      { key: "file", title: "", value: (mark) => mark.file },
      { key: "label", title: "", value: (mark) => classes[mark.actual] },
      { key: "predicted", title: "", value: (mark) => classes[mark.predicted] },
      { key: "probability", title: "", value: (mark) => mark.probability },
    ], this.excluded, `${name}-exclude`);
  }
}
