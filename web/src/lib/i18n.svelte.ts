// Texts of the page in English and Korean. en.json has every key; texts computed by Python arrive translated.
import en from "../locale/en.json";
import ko from "../locale/ko.json";

export type Language = "en" | "ko";
export type Key = keyof typeof en;

const texts: Record<Language, Record<Key, string>> = { en, ko };
let current = $state<Language>("en");

export const language = (): Language => current;

export function setLanguage(chosen: Language): void {
  current = chosen;
  document.documentElement.lang = chosen;
}

/** The text of a key, with {placeholders} filled in. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return texts[current][key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

/** The text of a key that is put together from a value; the value itself where there is none. */
export function named(prefix: string, value: string): string {
  return texts[current][`${prefix}.${value}` as Key] ?? value;
}
