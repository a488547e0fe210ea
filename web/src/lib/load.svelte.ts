// An answer of the server as state. While a new one is on its way the old one stays, so that nothing flickers.
import { ApiError, get, known, type Parameters } from "./api";

export interface Loaded<T> {
  readonly value: T | undefined;
  readonly error: string;
  readonly pending: boolean;
}

const MOMENT = 120; // ms

/**
 * Ask again whenever something changes that `ask` reads. Undefined from `ask`: nothing to ask for. `leave` is called when the answer
 * is no longer wanted.
 */
export function load<T>(ask: () => Promise<T> | undefined, leave?: () => void): Loaded<T> {
  const answer = new Answer<T>();
  $effect(() => {
    const stop = answer.follow(ask());
    return () => {
      stop();
      leave?.();
    };
  });
  return answer;
}

/**
 * For answers that need a forward pass: asked for when the request has been the same for a moment, so that stepping through
 * layers or positions leaves no queue of passes behind. What is known already comes at once.
 */
export function loadSettled<T>(request: () => [path: string, parameters: Parameters] | undefined): Loaded<T> {
  const answer = new Answer<T>();
  $effect(() => {
    const wanted = request();
    if (!wanted || known(...wanted)) return answer.follow(wanted && get<T>(...wanted));
    answer.pending = true;
    let stop = (): void => undefined;
    const timer = setTimeout(() => (stop = answer.follow(get<T>(...wanted))), MOMENT);
    return () => {
      clearTimeout(timer);
      stop();
    };
  });
  return answer;
}

class Answer<T> implements Loaded<T> {
  value = $state.raw<T>();
  error = $state("");
  pending = $state(false);

  /** Take the outcome of a promise, unless the returned function was called before. */
  follow(promise: Promise<T> | undefined): () => void {
    let stale = false;
    const take = (value: T | undefined, error: string): void => {
      if (!stale) [this.value, this.error, this.pending] = [value, error, false];
    };
    if (promise) {
      this.pending = true;
      promise.then((value) => take(value, ""), (problem: unknown) => take(undefined, problem instanceof ApiError || problem instanceof Error ? problem.message : String(problem)));
    } else take(undefined, "");
    return () => (stale = true);
  }
}
