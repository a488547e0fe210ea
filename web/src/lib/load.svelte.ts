// An answer of the server as state. While a new one is on its way the old one stays, so that nothing flickers.
import { ApiError } from "./api";

export interface Loaded<T> {
  readonly value: T | undefined;
  readonly error: string;
  readonly pending: boolean;
}

/** Ask again whenever something changes that `ask` reads. Undefined from `ask`: nothing to ask for. */
export function load<T>(ask: () => Promise<T> | undefined): Loaded<T> {
  let value = $state.raw<T>();
  let error = $state("");
  let pending = $state(false);
  $effect(() => {
    const answer = ask();
    let stale = false;
    if (!answer) {
      value = undefined;
      error = "";
      pending = false;
      return;
    }
    pending = true;
    answer.then(
      (document) => {
        if (stale) return;
        value = document;
        error = "";
        pending = false;
      },
      (problem: unknown) => {
        if (stale) return;
        value = undefined;
        error = problem instanceof ApiError || problem instanceof Error ? problem.message : String(problem);
        pending = false;
      },
    );
    return () => (stale = true);
  });
  return {
    get value() { return value; },
    get error() { return error; },
    get pending() { return pending; },
  };
}
