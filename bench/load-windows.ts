// Load that goes on for as long as it is wanted, and is measured in windows: so that a server is compared with itself
// while something else goes on in it and while it does not, under one and the same load.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { GeneratorResult, Plan } from './drive.ts';
import { checkStatuses, spawnGenerator } from './drive.ts';

export class LoadWindows {
  readonly #child = spawnGenerator();
  readonly #exited = once(this.#child, 'exit');
  readonly #lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  readonly #expected: readonly number[];

  private constructor(expected: readonly number[]) {
    this.#expected = expected;
  }

  /** Resolves when it is warmed up. `expected`: the statuses that count as answered. */
  static async start(plan: Omit<Plan, 'durationMs'>, expected: readonly number[]): Promise<LoadWindows> {
    const load = new LoadWindows(expected);
    // A generator that failed is seen by what it does not say.
    load.#child.stdin.on('error', () => undefined);
    load.#say(JSON.stringify(plan));
    await load.#heard();
    return load;
  }

  measure(): void {
    this.#say('measure');
  }

  rest(): void {
    this.#say('rest');
  }

  /** Of all that was measured since the last time. Throws where an answer had another status than those expected. */
  async tell(): Promise<GeneratorResult> {
    this.#say('tell');
    const result = JSON.parse(await this.#heard()) as GeneratorResult;
    checkStatuses(result, this.#expected);
    return result;
  }

  /** What was measured since the last time, whatever its answers were; goes on measuring. */
  async next(): Promise<GeneratorResult> {
    this.rest();
    this.#say('tell');
    this.measure();
    return JSON.parse(await this.#heard()) as GeneratorResult;
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    await this.#exited;
  }

  #say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  async #heard(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error('the load generator failed');
    return value;
  }
}
