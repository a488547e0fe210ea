// A run whose epochs arrive while it is trained elsewhere. The browser connects again by itself and gets what it missed.
import { address, get, saved, type Epoch, type Run, type RunResult } from "../lib/api";
import { language } from "../lib/i18n.svelte";

export type Connection = "waiting" | "live" | "broken" | "done";

export class LiveRun {
  run = $state.raw<Run>();
  epochs = $state.raw<Epoch[]>([]);
  result = $state.raw<RunResult | null>(null);
  error = $state("");
  connection = $state<Connection>("waiting");

  /** Follow a run; returns the end of it. */
  follow(id: string): () => void {
    let source: EventSource | undefined;
    let stopped = false;
    void language();
    get<Run>("run", { id }).then(
      (run) => {
        if (stopped) return;
        [this.run, this.epochs, this.result, this.error] = [run, run.epochs, run.result, ""];
        this.connection = run.result ? "done" : "waiting";
        if (!run.result && !saved) source = this.listen(id, run.epochs.length);
      },
      (problem: unknown) => {
        if (!stopped) this.error = problem instanceof Error ? problem.message : String(problem);
      },
    );
    return () => {
      stopped = true;
      source?.close();
    };
  }

  private listen(id: string, after: number): EventSource {
    const source = new EventSource(address("run/events", { id, after }));
    source.onopen = () => (this.connection = "live");
    source.onerror = () => (this.connection = "broken");
    source.addEventListener("epoch", (event) => {
      const epoch = JSON.parse(event.data) as Epoch;
      this.epochs = [...this.epochs.filter((each) => each.epoch < epoch.epoch), epoch];
      this.connection = "live";
    });
    source.addEventListener("restart", (event) => {
      const { epochs } = JSON.parse(event.data) as { epochs: number };
      this.epochs = this.epochs.slice(0, epochs);
    });
    source.addEventListener("done", (event) => {
      this.result = JSON.parse(event.data) as RunResult;
      this.connection = "done";
      source.close();
    });
    return source;
  }
}
