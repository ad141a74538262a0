// Clients that write the same keys over and over as fast as they can, and what they were told: which value has which
// revision. From that follows, entry for entry, the state of each partition after any of its revisions, whatever was
// written at the same time and since.
import type { CheckpointManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { binaryFromText, slotOf } from '@statestore/core';

const store = 's';
const keysOfClient = 300;
const batchOperations = 40;
const requestTimeoutMs = 60_000;

interface Version {
  readonly revision: bigint;
  readonly value: string;
}

type Revisions = ReadonlyMap<number, bigint>;

export class Overwritten {
  /** What clients were not told to be written, and why. */
  readonly failures: string[] = [];
  readonly #url: string;
  /** By key, in order. */
  readonly #versions = new Map<string, Version[]>();
  /** Values that may have been written, by key. */
  readonly #unknown = new Map<string, Set<string>>();
  #written = 0;
  #stop: AbortController | undefined;
  #clients: Promise<unknown> = Promise.resolve();

  constructor(gatewayUrl: string) {
    this.#url = `${gatewayUrl}/v1/stores/${store}`;
  }

  /** Acknowledged so far. */
  get written(): number {
    return this.#written;
  }

  /** `pauseMs`: of each client, between two batches. */
  begin(clients: number, pauseMs = 0): void {
    const { signal } = (this.#stop = new AbortController());
    this.#clients = Promise.all(
      Array.from({ length: clients }, async (_, client) => {
        for (let i = 0; !signal.aborted; i++) {
          await this.#write(client, i);
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
        }
      }),
    );
  }

  /** Twice is once. */
  async end(): Promise<void> {
    this.#stop?.abort();
    await this.#clients;
  }

  async #write(client: number, round: number): Promise<void> {
    const operations = Array.from({ length: batchOperations }, (_, i) => {
      const key = `${client}-${(round * batchOperations + i) % keysOfClient}`;
      return { op: 'put', key, value: `${key} of ${round} at ${this.#written} ${'.'.repeat((round * 7) % 300)}` };
    });
    // Until it is told otherwise.
    for (const { key, value } of operations) this.#unknown.set(key, (this.#unknown.get(key) ?? new Set()).add(value));
    try {
      const response = await fetch(`${this.#url}/batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ operations }),
        signal: AbortSignal.timeout(requestTimeoutMs),
      });
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
      const { results } = (await response.json()) as { readonly results: readonly { readonly etag?: string }[] };
      for (const [i, { key, value }] of operations.entries()) this.#told(key, value, results[i]!);
    } catch (error) {
      this.failures.push(String(error));
    }
  }

  /* oxlint-disable-next-line max-params -- what was to be written where, and what was said */
  #told(key: string, value: string, result: { readonly etag?: string }): void {
    if (result.etag === undefined) {
      this.failures.push(`${key}: ${JSON.stringify(result)}`);
      return;
    }
    this.#unknown.get(key)!.delete(value);
    this.#written++;
    const versions = this.#versions.get(key) ?? [];
    versions.push({ revision: BigInt(result.etag.replaceAll('"', '')), value });
    this.#versions.set(key, versions);
  }

  /** What every client has been told by now: the last revision of each partition, as that manifest has them. */
  told({ partitions }: CheckpointManifest): Revisions {
    const last = new Map<number, bigint>(partitions.map(({ partition }) => [partition, 0n]));
    const partitionOf = partitionsBySlot({ partitions });
    for (const [key, versions] of this.#versions) {
      const partition = partitionOf(key);
      const { revision } = versions.at(-1)!;
      if (revision > last.get(partition)!) last.set(partition, revision);
    }
    return last;
  }

  /**
   * Where the entries of a gateway's cluster are other ones than those of the state that the manifest is about. Undefined:
   * everything. `sameGateway`: it was there before; what it had not given up yet was perhaps written to the restored cluster.
   */
  async differences(gatewayUrl: string, manifest?: CheckpointManifest, sameGateway = false): Promise<string[]> {
    const found = await entriesOf(gatewayUrl);
    const cutOf = manifest === undefined ? () => undefined : cutsOf(manifest);
    const wrong: string[] = [];
    for (const [key, versions] of this.#versions) {
      const cut = cutOf(key);
      const expected = versions.findLast(({ revision }) => cut === undefined || revision <= cut);
      const is = found.get(key);
      found.delete(key);
      const mayBe = is !== undefined && this.#unknown.get(key)!.has(is.value);
      if (mayBe && is.revision > (expected?.revision ?? 0n) && (cut === undefined || sameGateway || is.revision <= cut))
        continue;
      if (is?.revision !== expected?.revision || is?.value !== expected?.value) {
        wrong.push(`${key} is ${textOf(is)}; it was ${textOf(expected)}`);
      }
    }
    for (const [key, is] of found) if (!this.#unknown.get(key)?.has(is.value)) wrong.push(`${key} is ${textOf(is)}`);
    return wrong;
  }
}

function textOf(version: Version | undefined): string {
  return version === undefined ? 'absent' : `${version.value.slice(0, 40)} (${version.revision})`;
}

function partitionsBySlot({ partitions }: Pick<CheckpointManifest, 'partitions'>): (key: string) => number {
  return (key) => {
    const slot = slotOf(store, binaryFromText(key));
    return partitions.find(({ slots }) => slots.some(({ start, end }) => start <= slot && slot < end))!.partition;
  };
}

function cutsOf(manifest: CheckpointManifest): (key: string) => bigint {
  const partitionOf = partitionsBySlot(manifest);
  const revisions = new Map(manifest.partitions.map(({ partition, revision }) => [partition, revision]));
  return (key) => revisions.get(partitionOf(key))!;
}

async function entriesOf(gatewayUrl: string): Promise<Map<string, Version>> {
  const query = 'values=true&consistency=strong';
  const answer = await fetch(`${gatewayUrl}/v1/stores/${store}/keys?${query}`, {
    headers: { accept: 'application/x-ndjson' },
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} ${text}`);
  const lines = text.split('\n').filter((line) => line !== '');
  return new Map(
    lines.map((line) => {
      const { key, etag, value } = JSON.parse(line) as { key: string; etag: string; value: string };
      return [key, { value, revision: BigInt(etag.replaceAll('"', '')) }];
    }),
  );
}
