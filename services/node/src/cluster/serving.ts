// Whether gateways find a replica on this node. One that was opened before its partition is there is noted to be worth
// nothing: before anything is written to it, that is not so any more.
import { StateStoreError } from '@statestore/core';
import type { Partition } from '../partition.ts';
import type { ReplicaContext } from './replica-context.ts';
import type { ReplicaFolder } from './replica-folder.ts';

export class Serving {
  readonly #number: number;
  readonly #folder: ReplicaFolder;
  readonly #context: Pick<ReplicaContext, 'node' | 'onFatal'>;
  #isPrepared = false;
  #wanted: Partition | undefined;

  constructor(partition: number, folder: ReplicaFolder, context: Pick<ReplicaContext, 'node' | 'onFatal'>) {
    this.#number = partition;
    this.#folder = folder;
    this.#context = context;
  }

  /** `prepared`: its partition is not there yet. Rejects where the folder cannot be written. */
  async opened(prepared: boolean): Promise<void> {
    this.#isPrepared = prepared;
    if (!prepared) await this.#folder.forgetPrepared();
  }

  /** Undefined: nobody is to find it. */
  serve(partition: Partition | undefined): void {
    const { node } = this.#context;
    this.#wanted = partition;
    if (partition === undefined) node.remove(this.#number);
    else if (this.#isPrepared) void this.#takeUp();
    else node.add(partition);
  }

  async #takeUp(): Promise<void> {
    try {
      await this.#folder.forgetPrepared();
    } catch (cause) {
      // A later process would take what clients are told of now for worthless.
      const message = `the folder ${this.#folder.path} cannot be written`;
      return this.#context.onFatal(new StateStoreError('internal', message, { cause }));
    }
    this.#isPrepared = false;
    // Meanwhile it may have been closed.
    if (this.#wanted !== undefined) this.serve(this.#wanted);
  }
}
