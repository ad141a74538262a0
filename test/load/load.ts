// The load: all clients against the gateways of a service, and the history that they make. Whoever started
// it does to the service what he likes meanwhile.
import { binaryFromText, slotOf, slotOwners } from '@statestore/core';
import type { PartitionPlacement } from '@statestore/core';
import type { HistoryFile, RunLine } from '../history/history.ts';
import type { Work } from './clients.ts';
import { accounts, clients, initialBalance, newWorker, openAccounts, readEverything } from './clients.ts';
import { GatewayClient } from './gateway-client.ts';
import { Recorder } from './recorder.ts';

export interface LoadOptions {
  readonly seed: number;
  /** One that holds nothing yet. Default: torture. */
  readonly store?: string;
  readonly gateways: readonly { readonly name: string; readonly url: string }[];
  readonly history: HistoryFile;
  /** Kinds of faults, for the head of the history. */
  readonly faults: readonly string[];
  /** Between two operations of a client, at most. */
  readonly thinkMsMax?: number;
  /** Partitions become more or fewer meanwhile: what stays together then is a slot. */
  readonly resizes?: boolean;
  /** When keys change. Default: every few seconds. */
  readonly generation?: () => number;
}

const thinkMsMaxDefault = 12;
const generationMs = 4000;
/** For operations that are under way when the load ends. */
const drainMsMax = 40_000;

export class Load {
  readonly recorder: Recorder;
  readonly #gateways: readonly GatewayClient[];
  readonly #work: Work;
  readonly #options: LoadOptions;
  #running: Promise<unknown> = Promise.resolve();
  #failure: { readonly cause: unknown } | undefined;
  #stopped = false;

  private constructor(options: LoadOptions, owners: Uint16Array) {
    this.#options = options;
    const { store = 'torture' } = options;
    this.#gateways = options.gateways.map(({ name, url }) => new GatewayClient(name, url, store));
    this.recorder = new Recorder({
      gateways: this.#gateways,
      history: options.history,
      partitionOf: (key) => {
        const slot = slotOf(store, binaryFromText(key));
        return options.resizes === true ? slot : owners[slot];
      },
    });
    const startedMs = performance.now();
    this.#work = {
      recorder: this.recorder,
      isStopped: () => this.#stopped,
      generation: options.generation ?? (() => Math.floor((performance.now() - startedMs) / generationMs)),
      keys: new Map(),
      thinkMsMax: options.thinkMsMax ?? thinkMsMaxDefault,
    };
  }

  /** Resolves when the clients have begun. */
  static async start(options: LoadOptions): Promise<Load> {
    const load = new Load(options, await slotsFrom(options.gateways[0]!.url));
    try {
      await load.#begin();
    } catch (cause) {
      await load.close();
      throw cause;
    }
    return load;
  }

  async #begin(): Promise<void> {
    const { seed, faults, history, store = 'torture' } = this.#options;
    const initial = { accounts: Object.fromEntries(accounts.map((key) => [key, initialBalance])) };
    const head: RunLine = { type: 'run', version: 1, seed, store, faults, initial };
    history.note(head);
    await openAccounts(this.#work, newWorker(seed, 0));
    this.#running = Promise.all(clients.map((client, at) => client(this.#work, newWorker(seed, at + 1)))).catch(
      (cause: unknown) => {
        this.#failure = { cause };
      },
    );
  }

  /** Throws where a client failed: then there is no history to judge. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.cause;
  }

  /** Resolves when every client has finished what it was doing. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.recorder.giveUpAfter(drainMsMax);
    await this.#running;
    this.recorder.giveUpAfter(drainMsMax);
    this.check();
  }

  /** Reads every key once more, strongly. After `stop`. */
  readEverything(): Promise<void> {
    return readEverything(this.#work, this.#options.seed, clients.length + 1);
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.recorder.giveUpAfter(0);
    await Promise.all(this.#gateways.map((gateway) => gateway.close()));
    await this.#running;
  }
}

async function slotsFrom(url: string): Promise<Uint16Array> {
  const response = await fetch(`${url}/v1/topology`);
  if (!response.ok) throw new Error(`${url}/v1/topology answers ${response.status}`);
  const { epoch, partitions } = (await response.json()) as { epoch: string; partitions: PartitionPlacement[] };
  return slotOwners({ epoch: BigInt(epoch), partitions });
}
