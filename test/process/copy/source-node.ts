// A real `statestore node` with one partition, to be copied from: started, filled over the link, killed.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Command, defaultTtl, noCondition, type Operation } from '@statestore/core';
import { connectLink, type LinkClient, type PartitionStatus } from '@statestore/link';

const launcher = fileURLToPath(new URL('../../../services/cli/statestore', import.meta.url));
const listens = /listens on 127\.0\.0\.1:(\d+),/;
export const sourceStore = 'copied';

export function sourceKey(i: number): string {
  return `key-${String(i).padStart(9, '0')}`;
}

export function putCommand(keys: readonly string[], value: Uint8Array): Command {
  const operations = keys.map((key): Operation => ({
    kind: 'put',
    key,
    condition: noCondition,
    value,
    contentType: '',
    ttl: defaultTtl,
  }));
  return { body: { kind: 'mutate', store: sourceStore, atomic: false, checks: [], operations } };
}

export class SourceNode {
  readonly port: number;
  readonly link: LinkClient;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    this.link = connectLink({ host: '127.0.0.1', port });
  }

  /** Resolves when it listens. */
  static async start(folder: string, engine: 'lmdb' | 'memory'): Promise<SourceNode> {
    const args = [
      'node',
      '--port',
      '0',
      '--metrics-port',
      '0',
      '--data',
      folder,
      '--partitions',
      '1',
      '--engine',
      engine,
    ];
    const child = spawn(launcher, [...args, '--log-level', 'warn'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    for await (const chunk of child.stdout) {
      said += String(chunk);
      const port = listens.exec(said)?.[1];
      if (port !== undefined) return new SourceNode(child, Number(port));
    }
    throw new Error(`the node ended before it listened: ${said}`);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Puts `entries` entries, and waits until all of them are stored. */
  async fill(entries: number, valueBytes: number): Promise<void> {
    const value = new Uint8Array(valueBytes).fill(7);
    const callKeys = 500;
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < entries) {
        const from = next;
        next += callKeys;
        const keys = Array.from({ length: Math.min(callKeys, entries - from) }, (_, i) => sourceKey(from + i));
        await this.link.propose(0, putCommand(keys, value));
      }
    };
    await Promise.all(Array.from({ length: 4 }, worker));
    await this.link.sync(0);
  }

  async status(): Promise<PartitionStatus> {
    return (await this.link.status()).partitions[0]!;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it at once. Idempotent. */
  async kill(): Promise<void> {
    await this.link.close();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
