// Tries, before anything relies on it, whether a repository does what the port says. There are stores that
// take `If-None-Match` and ignore it, or check first and write later: with them, two writers would each believe
// that they made the checkpoint. What it leaves when it is killed is removed by a later probe.
import { randomUUID } from 'node:crypto';
import { limits, StateStoreError } from '@statestore/core';
import type { Repository, RepositoryCall } from './repository.ts';

const probePrefix = 'probe/';

/** Rejects with `invalid_settings`, naming what the repository does instead; with its own errors where it does not answer. */
export async function probeRepository(repository: Repository, call?: RepositoryCall): Promise<void> {
  const folder = `${probePrefix}${randomUUID()}/`;
  const made: string[] = [];
  try {
    await new Probe(repository, folder, made, call).run();
  } catch (error) {
    await repository.remove(made, call).catch(() => undefined);
    throw error;
  }
}

class Probe {
  readonly #repository: Repository;
  readonly #folder: string;
  readonly #made: string[];
  readonly #call: RepositoryCall | undefined;

  /* oxlint-disable-next-line max-params -- what it is about, where, what is to be removed, until when */
  constructor(repository: Repository, folder: string, made: string[], call: RepositoryCall | undefined) {
    this.#repository = repository;
    this.#folder = folder;
    this.#made = made;
    this.#call = call;
  }

  async run(): Promise<void> {
    const repository = this.#repository;
    const [first, second] = [randomBytesOf(2000), randomBytesOf(1000)];
    const name = this.#name('object');
    await this.#expectNothing(name);
    if ((await repository.create(name, first, this.#call)) !== 'created') {
      throw this.#refusal('says of a new object that it exists');
    }
    await this.#expect(name, first, 'what was created');
    if ((await repository.create(name, second, this.#call)) === 'created') {
      throw this.#refusal('creates an object that exists: it has no conditional writes (If-None-Match)');
    }
    await this.#expect(name, first, 'what was created, after a second creation was refused');
    await repository.put(name, second, this.#call);
    await this.#expect(name, second, 'what replaced it');
    for (let round = 0; round < limits.repositoryProbeRounds; round++) await this.#race(round);
    await this.#expectListing();
    await repository.remove(this.#made, this.#call);
    await Promise.all(this.#made.map((removed) => this.#expectNothing(removed)));
    for await (const { name: left } of repository.list(this.#folder, this.#call)) {
      throw this.#refusal(`lists ${left}, which was removed`);
    }
    await this.#removeLeftovers();
  }

  #name(end: string): string {
    const name = `${this.#folder}${end}`;
    this.#made.push(name);
    return name;
  }

  /** Several create one object at once. */
  async #race(round: number): Promise<void> {
    const name = this.#name(`race-${round}`);
    const contents = Array.from({ length: limits.repositoryProbeRacers }, () => randomBytesOf(1000));
    const outcomes = await Promise.all(contents.map((bytes) => this.#repository.create(name, bytes, this.#call)));
    const winners = contents.filter((_, i) => outcomes[i] === 'created');
    if (winners.length !== 1) {
      throw this.#refusal(
        `tells ${winners.length} of ${contents.length} that they created one object, at the same time: its conditional writes are not atomic`,
      );
    }
    await this.#expect(name, winners[0]!, 'what the one created that was told so');
  }

  /** Names in which `.` and `-` come before `/`: a store that lists by folders has another order. */
  async #expectListing(): Promise<void> {
    const created = ['listed/a.b', 'listed/a-b', 'listed/a.p/0', 'listed/a.p/1', 'listed/a/1', 'listed/a0'];
    await Promise.all(created.map((end) => this.#repository.put(this.#name(end), randomBytesOf(10), this.#call)));
    const expected = this.#made.toSorted();
    const listed: string[] = [];
    for await (const { name } of this.#repository.list(this.#folder, this.#call)) listed.push(name);
    const missing = expected.find((name) => !listed.includes(name));
    if (missing !== undefined) throw this.#refusal(`does not list ${missing}, which is there`);
    const foreign = listed.find((name) => !expected.includes(name));
    if (foreign !== undefined) throw this.#refusal(`lists ${foreign}, which is not there`);
    if (listed.join() !== expected.join()) throw this.#refusal('does not list objects in order of their names');
  }

  async #expect(name: string, bytes: Uint8Array, what: string): Promise<void> {
    const found = await this.#repository.get(name, this.#call);
    if (found === undefined || !isSame(found, bytes)) {
      throw this.#refusal(
        `does not give back ${what}: ${found === undefined ? 'nothing is there' : 'other bytes are there'}`,
      );
    }
    const info = await this.#repository.head(name, this.#call);
    if (info?.sizeBytes !== bytes.length) {
      throw this.#refusal(`says of an object of ${bytes.length} bytes that it has ${info?.sizeBytes ?? 'none'}`);
    }
  }

  async #expectNothing(name: string): Promise<void> {
    // First what is refused in words: an answer to `head` has no room for any.
    const isThere =
      (await this.#repository.get(name, this.#call)) !== undefined ||
      (await this.#repository.head(name, this.#call)) !== undefined;
    if (isThere) throw this.#refusal(`has ${name}, which was never created or was removed`);
  }

  /** By the repository's clock: of the objects that this probe made. */
  async #removeLeftovers(): Promise<void> {
    const clock = this.#name('clock');
    await this.#repository.put(clock, new Uint8Array(0), this.#call);
    const nowMs = (await this.#repository.head(clock, this.#call))?.modifiedAtMs ?? 0;
    const leftovers = [clock];
    for await (const { name, modifiedAtMs } of this.#repository.list(probePrefix, this.#call)) {
      if (nowMs - modifiedAtMs > limits.repositoryLeftoverMs) leftovers.push(name);
      if (leftovers.length === limits.repositoryRemovePage) break;
    }
    await this.#repository.remove(leftovers, this.#call);
  }

  #refusal(what: string): StateStoreError {
    return new StateStoreError('invalid_settings', `${this.#repository.location} cannot keep checkpoints: it ${what}`, {
      hint: 'docs/checkpoints.md names what a repository must do, and servers that do it.',
    });
  }
}

function randomBytesOf(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
