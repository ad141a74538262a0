// What faults are done to: a running cluster, and who is in trouble already, so that two faults at the
// same time never have one process for their target.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalCluster, ManagedProcess } from '@statestore/cli';
import type { HistoryFile } from '../history/history.ts';
import type { SeededRandom } from '../process/seeded-random.ts';
import type { Eye } from './eye.ts';

export interface SceneOptions {
  readonly cluster: LocalCluster;
  readonly eye: Eye;
  readonly history: HistoryFile;
  readonly print?: (text: string) => void;
  /** Names of processes whose data is on a small disk of its own. */
  readonly smallDisks?: ReadonlySet<string>;
  /** False: replicas are in memory, and a lost log waits for a person. Default: true. */
  readonly recoversItself?: boolean;
}

const resizeTimeoutMs = 30_000;

export class Scene {
  readonly cluster: LocalCluster;
  readonly eye: Eye;
  readonly smallDisks: ReadonlySet<string>;
  readonly recoversItself: boolean;
  readonly history: HistoryFile;
  readonly #print: (text: string) => void;
  /** Sizes that were asked for so far. */
  resizes = 0;
  readonly #startedMs = performance.now();
  readonly #busy = new Set<ManagedProcess>();

  constructor({
    cluster,
    eye,
    history,
    print = () => {},
    smallDisks = new Set(),
    recoversItself = true,
  }: SceneOptions) {
    this.cluster = cluster;
    this.eye = eye;
    this.smallDisks = smallDisks;
    this.recoversItself = recoversItself;
    this.history = history;
    this.#print = print;
  }

  sleep(ms: number): Promise<void> {
    return sleep(ms);
  }

  /** One that nothing is done to; undefined: there is none. */
  pick(from: readonly ManagedProcess[], random: SeededRandom): ManagedProcess | undefined {
    // The number is drawn in any case: who is busy must not change later choices.
    const at = random.below(from.length);
    const order = [...from.slice(at), ...from.slice(0, at)];
    return order.find((process) => process.running && !this.#busy.has(process));
  }

  /** Does something to processes, and writes down when. */
  async during<T>(what: string, targets: readonly ManagedProcess[], work: () => Promise<T>): Promise<T> {
    for (const target of targets) this.#busy.add(target);
    this.#note(what, targets, 'begin');
    try {
      return await work();
    } finally {
      this.#note(what, targets, 'end');
      for (const target of targets) this.#busy.delete(target);
    }
  }

  /** The nodes carry it out by themselves; where nobody takes the wish now it is asked for again next time. */
  async resize(partitions: number): Promise<void> {
    const wish = ['partitions', 'resize', String(partitions), '--detach'];
    await this.during(`resize to ${partitions}`, [], () => this.cluster.statestore(wish, resizeTimeoutMs));
  }

  /** What a person does where nothing happens by itself. */
  async recover(): Promise<void> {
    const { code, stdout, stderr } = await this.cluster.statestore(['recover', '--yes']);
    if (code !== 0) throw new Error(`statestore recover --yes ended with ${code}:\n${stdout}${stderr}`);
  }

  /** Everything runs, is connected and has room again. */
  async heal(): Promise<void> {
    const { cluster } = this;
    for (const process of cluster.processes) process.resume();
    await cluster.network?.heal();
    await Promise.all(cluster.processes.map((process) => process.start()));
  }

  #note(what: string, targets: readonly ManagedProcess[], phase: 'begin' | 'end'): void {
    const atMs = performance.now();
    const names = targets.map(({ name }) => name);
    this.history.note({ type: 'fault', what, targets: names, phase, atMs });
    const seconds = ((atMs - this.#startedMs) / 1000).toFixed(1).padStart(6);
    this.#print(`${seconds} s  ${phase === 'begin' ? '▶' : '■'} ${what}: ${names.join(', ')}`);
  }
}
