// The world of reshapes: one thread, one source of randomness, a clock, and messages that come late, twice or never.
// Who sends what to whom is left to others.
import { SeededRandom } from '../../process/seeded-random.ts';
import type { ReshapeBug } from './reshape-bugs.ts';

interface Message {
  readonly what: string;
  /** Not before this step. */
  readonly from: number;
  readonly deliver: () => void;
}

const keptLines = 60;
/** Somebody was frozen: what was sent then arrives when everybody else has gone on. */
const frozenStepsMax = 500;

export class ReshapeWorld {
  readonly random: SeededRandom;
  readonly bug: ReshapeBug | undefined;
  readonly violations: string[] = [];
  /** Order of everything that happens. */
  step = 0;
  /** Nothing fails any more, and nothing is held up. */
  calm = false;
  nowNanos = 1_700_000_000_000_000_000n;
  readonly lines: string[] = [];
  /** Shares of messages. */
  readonly lost: number;
  readonly doubled: number;
  readonly frozen: number;
  #messages: Message[] = [];

  constructor(seed: number, bug: ReshapeBug | undefined) {
    this.random = new SeededRandom(seed);
    this.bug = bug;
    const level = (max: number): number => (this.random.chance(0.4) ? 0 : this.random.next() * max);
    this.lost = level(0.15);
    this.doubled = level(0.15);
    this.frozen = level(0.2);
  }

  get nowMs(): number {
    return Number(this.nowNanos / 1_000_000n);
  }

  get waiting(): number {
    return this.#messages.length;
  }

  note(what: string): void {
    this.lines.push(`${this.step}: ${what}`);
    if (this.lines.length > keptLines) this.lines.shift();
  }

  wrong(what: string): void {
    this.note(`WRONG: ${what}`);
    if (this.violations.length < 20) this.violations.push(`step ${this.step}: ${what}`);
  }

  /** min ≤ n ≤ max. */
  between(min: number, max: number): number {
    return min + this.random.below(max - min + 1);
  }

  tick(): void {
    this.step++;
    this.nowNanos += BigInt(this.random.below(2_000_000));
  }

  pass(ms: number): void {
    this.nowNanos += BigInt(ms) * 1_000_000n;
  }

  send(what: string, deliver: () => void): void {
    if (this.calm) {
      this.#messages.push({ what, from: 0, deliver });
      return;
    }
    const copies = this.random.chance(this.lost) ? 0 : this.random.chance(this.doubled) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const isHeldUp = this.random.chance(this.frozen);
      const from = this.step + (isHeldUp ? this.random.below(frozenStepsMax) : 0);
      this.#messages.push({ what, from, deliver });
    }
  }

  /** One that is due; false: there is none. */
  deliver(): boolean {
    const due = this.#messages.filter(({ from }) => this.calm || from <= this.step);
    if (due.length === 0) return false;
    const message = this.random.pick(due);
    this.#messages.splice(this.#messages.indexOf(message), 1);
    message.deliver();
    return true;
  }
}
