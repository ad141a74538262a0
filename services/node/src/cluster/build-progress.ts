// How far a replica is that is being built, for reports and metrics: what came so far, and when it will have come.
import type { BuildReport } from '@statestore/cluster';
import type { Time } from '../time.ts';

/** Before that, speed says nothing. */
const tellingMs = 500;

export class BuildProgress {
  readonly #time: Time;
  readonly #beganMs: number;
  readonly #of: Pick<BuildReport, 'source' | 'from'>;
  #records = 0;
  #bytes = 0;
  #part: number | undefined;

  constructor(time: Time, of: Pick<BuildReport, 'source' | 'from'>) {
    this.#time = time;
    this.#beganMs = time.elapsedMs();
    this.#of = of;
  }

  /** `part`: of the whole, 0 to 1. */
  came(records: number, bytes: number, part?: number): void {
    this.#records = records;
    this.#bytes = bytes;
    this.#part = part;
  }

  report(): BuildReport {
    const elapsedMs = this.#time.elapsedMs() - this.#beganMs;
    const part = this.#part;
    const tells = part !== undefined && part > 0 && elapsedMs >= tellingMs;
    return {
      ...this.#of,
      records: this.#records,
      bytes: this.#bytes,
      ...(part === undefined ? {} : { part }),
      ...(tells ? { remainingMs: Math.round((elapsedMs / part) * (1 - part)) } : {}),
    };
  }
}
