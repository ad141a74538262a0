// The log port in the simulated world: one stream of records that all replicas share, and a client of
// it in each. Appends are delayed, refused, lost, answered with `unknown` and then there or not, now or
// later, or there twice; the server's clock jumps with each leader. Delivery keeps the port's promise.
import type { Batch } from '@statestore/core';
import { decodeBatch, encodeBatch } from '@statestore/core';
import type { AppendOutcome, Log, LogBounds, LogRecord, Subscription, SubscriptionEnd } from '@statestore/node';
import type { Profile } from './profile.ts';
import type { Life, World } from './world.ts';

export class SimStream {
  readonly records: LogRecord[] = [];
  readonly incarnation = '00000000-0000-4000-8000-000000000001';
  readonly #world: World;
  readonly #profile: Profile;
  readonly #listeners = new Set<() => void>();
  #skewMs = 0;
  /** Without a leader: nothing that is appended arrives before. */
  leaderlessUntilMs = 0;

  constructor(world: World, profile: Profile) {
    this.#world = world;
    this.#profile = profile;
    this.#elect();
  }

  /** Another leader, with a clock of its own. */
  #elect(): void {
    const { skewMs, leaderEveryMs } = this.#profile;
    this.#skewMs = this.#world.between(-skewMs, skewMs);
    this.#world.after(this.#world.between(1, leaderEveryMs * 2), undefined, () => this.#elect());
  }

  get timestampNanos(): bigint {
    return BigInt(this.#world.nowMs + this.#skewMs) * 1_000_000n + BigInt(this.#world.steps % 1_000_000);
  }

  add(bytes: Uint8Array): bigint {
    const position = BigInt(this.records.length + 1);
    this.records.push({ position, timestampNanos: this.timestampNanos, bytes });
    const { number, commands } = decodeBatch(bytes);
    this.#world.note(`log ${position}: batch ${number} of ${commands.length} commands`);
    for (const listener of this.#listeners) listener();
    return position;
  }

  onAdded(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

type Fate = 'appended' | 'refused' | 'lost' | 'unknown' | 'late';

export class SimLog implements Log {
  readonly exclusive: boolean;
  readonly recordBytesMax = 1024 * 1024;
  readonly #world: World;
  readonly #profile: Profile;
  readonly #stream: SimStream;
  readonly #life: Life;
  readonly #name: string;
  #arrivesMs = 0;
  #deliverEarly: ((record: LogRecord) => void) | undefined;

  /* oxlint-disable-next-line max-params -- what its world is */
  constructor(world: World, profile: Profile, stream: SimStream, life: Life, name: string) {
    this.#world = world;
    this.#profile = profile;
    this.#stream = stream;
    this.#life = life;
    this.#name = name;
    this.exclusive = profile.replicas === 1 || profile.bug === 'stale-strong-reads';
  }

  get incarnation(): string {
    return this.#stream.incarnation;
  }

  #fate(): Fate {
    if (this.#world.calm) return 'appended';
    const { refused, lost, unknown, late } = this.#profile;
    let draw = this.#world.random.next();
    for (const [fate, share] of [
      ['refused', refused],
      ['lost', lost],
      ['unknown', unknown],
      ['late', late],
    ] as const) {
      if (draw < share) return fate;
      draw -= share;
    }
    return 'appended';
  }

  append(given: Uint8Array): Promise<AppendOutcome> {
    const world = this.#world;
    const { bug, logDelayMs, duplicated } = this.#profile;
    const bytes = bug === 'no-deduplication' ? withoutSessions(given) : given.slice();
    const fate = this.#fate();
    // On the way, it is the network's: it arrives although its proposer may be dead by then.
    const arrivesMs = Math.max(
      this.#arrivesMs,
      world.nowMs + world.between(0, logDelayMs),
      this.#stream.leaderlessUntilMs,
    );
    this.#arrivesMs = arrivesMs;
    const delayMs = arrivesMs - world.nowMs;
    if (bug === 'answer-before-durable' && fate === 'lost' && this.#deliverEarly !== undefined) {
      const position = BigInt(this.#stream.records.length + 1);
      this.#deliverEarly({ position, timestampNanos: this.#stream.timestampNanos, bytes });
      return this.#answer(delayMs, () => ({ kind: 'appended', position }));
    }
    if (duplicated > 0 && fate !== 'refused' && fate !== 'lost' && world.random.chance(duplicated)) {
      world.after(delayMs + world.between(1, 3000), undefined, () => this.#stream.add(bytes));
    }
    switch (fate) {
      case 'refused':
        if (bug === 'dishonest-refusal') world.after(delayMs, undefined, () => this.#stream.add(bytes));
        return this.#answer(delayMs, () => ({
          kind: 'refused',
          reason: world.random.pick(['unavailable', 'overloaded', 'disk_full']),
        }));
      case 'lost':
        return this.#answer(delayMs + world.between(1, 3000), () => ({ kind: 'unknown', cause: 'lost' }));
      case 'late':
        world.after(delayMs + world.between(1, 20_000), undefined, () => this.#stream.add(bytes));
        return this.#answer(delayMs + world.between(1, 3000), () => ({ kind: 'unknown', cause: 'late' }));
      case 'unknown':
        world.after(delayMs, undefined, () => this.#stream.add(bytes));
        return this.#answer(delayMs + world.between(1, 3000), () => ({ kind: 'unknown', cause: 'no answer' }));
      case 'appended':
        return new Promise((resolve) => {
          world.after(delayMs, undefined, () => {
            const position = this.#stream.add(bytes);
            world.after(world.between(0, logDelayMs), this.#life, () => resolve({ kind: 'appended', position }));
          });
        });
    }
  }

  #answer(delayMs: number, outcome: () => AppendOutcome): Promise<AppendOutcome> {
    return new Promise((resolve) => {
      this.#world.after(delayMs, this.#life, () => {
        const answer = outcome();
        this.#world.note(`${this.#name}: append ${answer.kind}`);
        resolve(answer);
      });
    });
  }

  subscribe({ from, onRecords }: Parameters<Log['subscribe']>[0]): Subscription {
    let next = from;
    let busy = false;
    let closed = false;
    let end: (why: SubscriptionEnd) => void = () => undefined;
    const ended = new Promise<SubscriptionEnd>((resolve) => (end = resolve));
    const stop = (why: SubscriptionEnd): void => {
      closed = true;
      unlisten();
      end(why);
    };
    const deliver = async (records: readonly LogRecord[]): Promise<void> => {
      try {
        await onRecords(records.map((record) => this.#asDelivered(record)));
      } catch (cause) {
        return stop({ kind: 'corrupt', cause });
      }
      busy = false;
      pump();
    };
    const pump = (): void => {
      const { records } = this.#stream;
      const regressed = next > BigInt(records.length) + 1n && this.#profile.bug !== 'answer-before-durable';
      if (regressed) return stop({ kind: 'regressed', last: BigInt(records.length), incarnation: this.incarnation });
      if (busy || closed || next > BigInt(records.length)) return;
      busy = true;
      const laggingMs = this.#name === 'node 0' ? this.#profile.laggingMs : 0;
      this.#world.after(this.#world.between(0, this.#profile.logDelayMs + laggingMs), this.#life, () => {
        if (closed) return;
        const some = this.#stream.records.slice(Number(next) - 1, Number(next) - 1 + this.#world.between(1, 8));
        next += BigInt(some.length);
        void deliver(some);
      });
    };
    const unlisten = this.#stream.onAdded(() => this.#life.alive && pump());
    this.#deliverEarly = (record) => {
      if (busy || closed || record.position !== next) return;
      next++;
      busy = true;
      void deliver([record]);
    };
    pump();
    return {
      ended,
      close: async () => {
        stop({ kind: 'closed' });
      },
    };
  }

  #asDelivered(record: LogRecord): LogRecord {
    if (this.#profile.bug !== 'skip-a-batch' || this.#name !== 'node 1' || record.position % 7n !== 0n) return record;
    return { ...record, bytes: encodeBatch({ partition: 0, proposer: '', number: 1, commands: [] }) };
  }

  bounds(): Promise<LogBounds> {
    return new Promise((resolve) => {
      this.#world.after(this.#world.between(0, this.#profile.logDelayMs), this.#life, () =>
        resolve({ first: 1n, last: BigInt(this.#stream.records.length) }),
      );
    });
  }

  async trim(): Promise<void> {}

  async sizeBytes(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {}
}

function withoutSessions(bytes: Uint8Array): Uint8Array {
  const batch: Batch = decodeBatch(bytes);
  return encodeBatch({ ...batch, commands: batch.commands.map(({ body }) => ({ body })) });
}
