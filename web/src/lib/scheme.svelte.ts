// Light, dark, or as the system: kept in this browser only.
export type Scheme = "auto" | "light" | "dark";

const KEY = "convatlas.scheme";
let current = $state<Scheme>("auto");

export const scheme = (): Scheme => current;

export function setScheme(chosen: Scheme): void {
  current = chosen;
  if (chosen === "auto") delete document.documentElement.dataset["scheme"];
  else document.documentElement.dataset["scheme"] = chosen;
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // a page opened from disk may have no storage: the choice then holds until it is closed
  }
}

try {
  const kept = localStorage.getItem(KEY);
  if (kept === "light" || kept === "dark") setScheme(kept);
} catch {
  // as above
}
