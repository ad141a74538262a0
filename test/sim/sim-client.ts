// A client in the simulated world: what a gateway does for an application. It numbers its commands in a
// session, sends one again under the same number until it is answered, and writes down what it saw.
import type { BinaryString, Command, CommandBody, CommandResult, Idempotency } from '@statestore/core';
import { StateStoreError } from '@statestore/core';
import type { HistoryRecord, ReadRecord, WriteRecord } from './history.ts';
import { identityOf } from './history.ts';
import type { Profile } from './profile.ts';
import type { SimGateway } from './sim-gateway.ts';
import type { SimNode } from './sim-node.ts';
import type { World } from './world.ts';
import type { DrawnRead } from './workload.ts';
import { drawRead, drawReadOf, drawWrite } from './workload.ts';

const attemptsMax = 6;
const attemptTimeoutMs = 15_000;
/** Codes that say that nothing has changed. Everything else that is thrown leaves it open. */
const certain: ReadonlySet<string> = new Set([
  'unavailable',
  'overloaded',
  'disk_full',
  'shutting_down',
  'partition_halted',
]);

interface Session {
  readonly id: BinaryString;
  counter: number;
  answered: boolean;
  readonly inFlight: Set<number>;
}

export interface Surroundings {
  readonly world: World;
  readonly profile: Profile;
  readonly nodes: readonly SimNode[];
  readonly gateways: readonly SimGateway[];
  readonly history: HistoryRecord[];
}

export class SimClient {
  readonly name: string;
  readonly #around: Surroundings;
  #session: Session;
  #sessions = 0;
  #operations = 0;
  /** The position that this client was told of. */
  #seen = 0n;

  constructor(around: Surroundings, number: number) {
    this.#around = around;
    this.name = `client ${number}`;
    this.#session = this.#newSession();
  }

  #newSession(): Session {
    return { id: `${this.name}-${++this.#sessions}`.padEnd(16, '.'), counter: 0, answered: false, inFlight: new Set() };
  }

  /** One of the client's workers: one operation after the other. */
  async work(): Promise<void> {
    const { world, profile } = this.#around;
    for (let i = 0; i < profile.operationsPerWorker; i++) {
      const long = world.random.chance(profile.longPauses);
      await world.sleep(long ? world.between(250_000, 400_000) : world.between(0, 100));
      if (world.random.chance(0.3)) await this.#read(drawRead(world.random));
      else {
        const record = await this.#write();
        if (!world.random.chance(0.3)) continue;
        // A step later, so that the order of the two is seen.
        await world.sleep(0);
        await this.#read(drawReadOf(world.random, record.command));
      }
    }
  }

  async #write(): Promise<WriteRecord> {
    const { world, history } = this.#around;
    const token = `${this.name} ${++this.#operations};`;
    const { body, named } = drawWrite(world.random, token);
    const idempotency = named ? { id: token.padEnd(16, '.'), fingerprint: 'fingerprint-----' } : undefined;
    const record: WriteRecord = {
      kind: 'write',
      client: this.name,
      invoked: world.steps,
      responded: Infinity,
      command: body,
      identities: new Set(),
      outcome: 'pending',
      result: undefined,
      token,
    };
    history.push(record);
    await this.#untilAnswered(record, body, idempotency);
    record.responded = world.steps;
    world.note(`${this.name}: ${body.kind} ${token} ${record.outcome} ${record.result?.code ?? ''}`);
    return record;
  }

  async #untilAnswered(record: WriteRecord, body: CommandBody, idempotency: Idempotency | undefined): Promise<void> {
    const { world, profile } = this.#around;
    const session = this.#session;
    let counter = ++session.counter;
    session.inFlight.add(counter);
    let certainlyNot = true;
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      if (attempt > 1 && profile.bug === 'retry-under-new-number') counter = ++session.counter;
      // Under an Idempotency-Key another gateway may try again, which has a session of its own.
      const own = idempotency === undefined || attempt === 1;
      const stamp = own
        ? { session: session.id, counter, firstUnanswered: Math.min(...session.inFlight), opens: !session.answered }
        : { session: `${record.token}${attempt}`.padStart(16, '.'), counter: 1, firstUnanswered: 1, opens: true };
      record.identities.add(identityOf(stamp.session, stamp.counter));
      const answer = await this.#attempt({ stamp, body, ...(idempotency === undefined ? {} : { idempotency }) });
      if (typeof answer !== 'string') {
        if (own && answer.code !== 'session_expired') session.answered = true;
        if (this.#settle(record, answer, certainlyNot, session)) break;
      } else if (answer === 'unknown') certainlyNot = false;
      // An application that takes a refusal for what it says.
      else if (world.random.chance(0.3)) break;
      await world.sleep(world.between(1, 200 * attempt));
    }
    session.inFlight.delete(counter);
    if (record.outcome === 'pending') record.outcome = certainlyNot ? 'refused' : 'unknown';
  }

  /** Whether the answer is one that ends the operation. */
  #settle(record: WriteRecord, result: CommandResult, certainlyNot: boolean, session: Session): boolean {
    if (result.code === 'session_expired' || result.code === 'already_answered') {
      // That says nothing of earlier attempts.
      record.outcome = certainlyNot ? 'refused' : 'unknown';
      if (session === this.#session && result.code === 'session_expired') this.#session = this.#newSession();
      return true;
    }
    if (result.code === 'overloaded') return false;
    record.outcome = 'answered';
    record.result = result;
    return true;
  }

  async #attempt(command: Command): Promise<CommandResult | 'refused' | 'unknown'> {
    const { world, profile } = this.#around;
    const target = this.#target();
    await world.sleep(world.between(0, profile.networkDelayMs));
    const answerLost = world.random.chance(profile.answerLost);
    const answer = await Promise.race([
      this.#ask(target, command),
      world.sleep(attemptTimeoutMs).then(() => 'unknown' as const),
    ]);
    await world.sleep(world.between(0, profile.networkDelayMs));
    return answerLost ? 'unknown' : answer;
  }

  /** Any gateway, for a session is not bound to one; any replica where there is none. */
  #target(): SimNode | SimGateway {
    const { world, nodes, gateways } = this.#around;
    return gateways.length > 0 ? world.random.pick(gateways) : world.random.pick(nodes);
  }

  async #ask(target: SimNode | SimGateway, command: Command): Promise<CommandResult | 'refused' | 'unknown'> {
    try {
      const { result, position } = await target.propose(command);
      if (position > this.#seen) this.#seen = position;
      return result;
    } catch (error) {
      if (!(error instanceof StateStoreError)) throw error;
      return certain.has(error.code) ? 'refused' : 'unknown';
    }
  }

  async #read({ store, keys, consistency }: DrawnRead): Promise<void> {
    const { world, profile, history } = this.#around;
    const record: ReadRecord = {
      kind: 'read',
      client: this.name,
      invoked: world.steps,
      invokedMs: world.nowMs,
      responded: Infinity,
      consistency,
      store,
      keys,
      entries: undefined,
      session: consistency === 'session',
    };
    history.push(record);
    await world.sleep(world.between(0, profile.networkDelayMs));
    const target = this.#target();
    const options = { consistency, ...(consistency === 'session' ? { atLeast: this.#seen } : {}) };
    try {
      const read = target.read(store, keys, options);
      record.entries = await Promise.race([read, world.sleep(attemptTimeoutMs).then(() => undefined)]);
    } catch (error) {
      if (!(error instanceof StateStoreError)) throw error;
    }
    await world.sleep(world.between(0, profile.networkDelayMs));
    record.responded = world.steps;
    world.note(
      `${this.name}: ${consistency} read ${keys.join(' ')} ${record.entries?.map((entry) => entry?.revision ?? '-').join(' ')}`,
    );
  }
}
