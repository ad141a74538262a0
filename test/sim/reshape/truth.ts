// One store for all, as if there were no partitions: every effect in the order in which logs took it. What partitions say
// of their entries, and clients of what they were told, is held against it.
import type { BinaryString, Command, CommandResult, Operation, OperationResult } from '@statestore/core';
import { binaryFromBytes } from '@statestore/core';
import type { ReshapeWorld } from './reshape-world.ts';

/** Text of an entry from one step to the next. */
export interface Version {
  readonly from: number;
  /** Undefined: there is none. */
  readonly text: string | undefined;
}

/** Stores whose entries go by themselves are not told here. */
export const expiringStore = 'lease';

export class Truth {
  readonly #world: ReshapeWorld;
  /** By store and key. */
  readonly #keys = new Map<string, Version[]>();
  /** What took effect, by the client's request. */
  readonly #effects = new Map<string, number>();
  readonly #made = new Map<string, number>();
  /** Of the identities under which a request was sent. */
  readonly #requests = new Map<string, string>();

  constructor(world: ReshapeWorld) {
    this.#world = world;
  }

  /** Before it is sent. */
  sent(identity: string, request: string): void {
    this.#requests.set(identity, request);
  }

  /** The version that a request made. */
  versionOf(request: string, key: BinaryString): number {
    return this.#made.get(`${request} ${key}`) ?? 0;
  }

  timesOf(request: string): number {
    return this.#effects.get(request) ?? 0;
  }

  textOf(store: string, key: BinaryString): string | undefined {
    return this.versionsOf(store, key).at(-1)!.text;
  }

  versionsOf(store: string, key: BinaryString): readonly Version[] {
    return this.#keys.get(nameOf(store, key)) ?? [{ from: 0, text: undefined }];
  }

  /** Keys that have a value. */
  *present(store: string): Generator<readonly [key: BinaryString, text: string], void> {
    for (const [name, versions] of this.#keys) {
      const { text } = versions.at(-1)!;
      if (name.startsWith(`${store}\x00`) && text !== undefined) yield [name.slice(store.length + 1), text];
    }
  }

  keysOf(store: string): BinaryString[] {
    return [...this.#keys.keys()].filter((n) => n.startsWith(`${store}\x00`)).map((n) => n.slice(store.length + 1));
  }

  /** A command as a log took it, and what the partition made of it. `revisions`: those that are new with this batch. */
  applied(where: string, command: Command, result: CommandResult, revisions: ReadonlySet<bigint>): void {
    const { body, stamp } = command;
    if (body.kind !== 'mutate') return;
    let isEffect = false;
    for (const [i, operation] of body.operations.entries()) {
      const told = result.operations[i];
      if (told?.code !== 'done' || !revisions.has(told.revision)) continue;
      isEffect = true;
      this.#operate(where, body.store, operation, told);
    }
    if (!isEffect || stamp === undefined) return;
    const request = this.#requests.get(`${stamp.session}/${stamp.counter}`);
    if (request === undefined) return this.#world.wrong(`${where}: an effect of nobody's request`);
    for (const { key } of body.operations)
      this.#made.set(`${request} ${key}`, this.versionsOf(body.store, key).length - 1);
    this.#effects.set(request, this.timesOf(request) + 1);
    if (this.timesOf(request) > 1) this.#world.wrong(`${where}: request ${request} took effect twice`);
  }

  /** A partition has cleared what it owns of a store. */
  cleared(store: string, isIts: (key: BinaryString) => boolean): void {
    for (const key of this.keysOf(store))
      if (isIts(key) && this.textOf(store, key) !== undefined) this.#set(store, key);
  }

  #operate(where: string, store: string, operation: Operation, told: OperationResult): void {
    const { key } = operation;
    const before = this.textOf(store, key);
    if (store === expiringStore) return this.#set(store, key, 'some');
    if (told.existed !== (before !== undefined)) {
      this.#world.wrong(`${where}: ${store}/${key} ${told.existed ? 'was' : 'was not'} there, and truly is ${before}`);
    }
    const text = textAfter(operation, before);
    const bytes = text?.length ?? 0;
    if (operation.kind !== 'delete' && told.sizeBytes !== bytes) {
      this.#world.wrong(`${where}: ${store}/${key} has ${told.sizeBytes} bytes afterwards instead of ${bytes}`);
    }
    this.#set(store, key, text);
  }

  #set(store: string, key: BinaryString, text?: string): void {
    const name = nameOf(store, key);
    let versions = this.#keys.get(name);
    if (versions === undefined) this.#keys.set(name, (versions = [{ from: 0, text: undefined }]));
    versions.push({ from: this.#world.step, text });
  }
}

function nameOf(store: string, key: BinaryString): string {
  return `${store}\x00${key}`;
}

function textAfter(operation: Operation, before: string | undefined): string | undefined {
  switch (operation.kind) {
    case 'put':
      return binaryFromBytes(operation.value);
    case 'append':
      return (before ?? '') + binaryFromBytes(operation.value);
    case 'increment':
      return String(BigInt(before ?? '0') + operation.delta);
    case 'delete':
      return undefined;
    default:
      throw new Error(`clients do no ${operation.kind}`);
  }
}
