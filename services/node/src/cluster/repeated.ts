// Something that is done again and again, a while after it was done last.
import type { Time, Timer } from '../time.ts';

export class Repeated {
  readonly #time: Time;
  readonly #everyMs: number;
  readonly #run: () => void | Promise<void>;
  #timer: Timer | undefined;
  #closed = false;

  /** `run` never rejects. */
  constructor(time: Time, everyMs: number, run: () => void | Promise<void>) {
    this.#time = time;
    this.#everyMs = everyMs;
    this.#run = run;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = this.#time.after(this.#everyMs, () => {
      void Promise.resolve(this.#run()).then(() => this.#schedule());
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }
}
