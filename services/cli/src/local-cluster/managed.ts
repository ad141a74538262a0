// One process of a local cluster: started, stopped, killed, paused, and started again when it ended on its
// own. What it is and how one sees that it is up, its maker says.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterEvent, ManagedProcess, ProcessKind } from './types.ts';

export interface ProcessSpec {
  readonly name: string;
  readonly kind: ProcessKind;
  readonly url: string;
  readonly metricsUrl: string;
  readonly logPath: string;
  readonly dataPath: string | undefined;
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Whether it accepts connections. */
  isUp(): Promise<boolean>;
  /** Started again when it ended on its own. */
  readonly restart: boolean;
  readonly onEvent: (event: ClusterEvent) => void;
}

const startTimeoutMs = 60_000;
/** Longer than a process gives itself for its stop. */
const stopTimeoutMs = 30_000;
const pollMs = 20;
const restartMsMin = 100;
const restartMsMax = 5000;
/** One that ran this long has recovered: its next restart comes soon again. */
const settledMs = 10_000;
const tailBytes = 3000;

export class Managed implements ManagedProcess {
  readonly name: string;
  readonly kind: ProcessKind;
  readonly url: string;
  readonly metricsUrl: string;
  readonly logPath: string;
  readonly dataPath: string | undefined;
  exits = 0;
  paused = false;
  readonly #spec: ProcessSpec;
  #child: ChildProcess | undefined;
  /** Of the present run: resolves when it is gone. */
  #gone: Promise<void> = Promise.resolve();
  /** Whether it should run, as its owner sees it. */
  #wanted = false;
  #restart: NodeJS.Timeout | undefined;
  #restartMs = restartMsMin;
  #startedMs = 0;
  #how = '';
  #wasUp = false;

  constructor(spec: ProcessSpec) {
    this.#spec = spec;
    this.name = spec.name;
    this.kind = spec.kind;
    this.url = spec.url;
    this.metricsUrl = spec.metricsUrl;
    this.logPath = spec.logPath;
    this.dataPath = spec.dataPath;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  async start(): Promise<void> {
    if (this.#child === undefined) {
      this.#wanted = true;
      this.#run();
    }
    const first = this.#child;
    const deadline = performance.now() + startTimeoutMs;
    while (!(await this.#isUp())) {
      if (!this.#wanted) throw new Error(`${this.name} was ended before it was up`);
      // One that was up before is given time to come back by itself.
      if (this.#child !== first && !(this.#wasUp && this.#spec.restart)) {
        await this.kill();
        throw new Error(`${this.name} ended (${this.#how}) before it was up:\n${this.#tail()}`);
      }
      if (performance.now() > deadline) {
        throw new Error(`${this.name} was not up within ${startTimeoutMs} ms:\n${this.#tail()}`);
      }
      await sleep(pollMs);
    }
    this.#wasUp = true;
  }

  /** Another process may sit on the port. */
  async #isUp(): Promise<boolean> {
    const child = this.#child;
    return child !== undefined && (await this.#spec.isUp()) && this.#child === child;
  }

  async stop(): Promise<void> {
    this.#forget();
    const child = this.#child;
    if (child === undefined) return;
    child.kill('SIGTERM');
    this.resume();
    const late = new AbortController();
    const inTime = await Promise.race([
      this.#gone.then(() => true),
      sleep(stopTimeoutMs, false, { signal: late.signal }).catch(() => false),
    ]);
    late.abort();
    if (inTime) {
      this.#tell('stopped');
      return;
    }
    child.kill('SIGKILL');
    await this.#gone;
    throw new Error(`${this.name} did not end within ${stopTimeoutMs} ms of SIGTERM:\n${this.#tail()}`);
  }

  async kill(): Promise<void> {
    this.#forget();
    const child = this.#child;
    if (child === undefined) return;
    child.kill('SIGKILL');
    await this.#gone;
    this.#tell('killed');
  }

  pause(): void {
    this.paused = this.#child?.kill('SIGSTOP') ?? false;
  }

  resume(): void {
    this.paused = false;
    this.#child?.kill('SIGCONT');
  }

  /** It is not to be started again on its own. */
  #forget(): void {
    this.#wanted = false;
    clearTimeout(this.#restart);
    this.#restart = undefined;
  }

  #run(): void {
    clearTimeout(this.#restart);
    this.#restart = undefined;
    const [file = '', ...args] = this.#spec.command;
    const log = openSync(this.logPath, 'a');
    try {
      // A group of its own: Ctrl-C in a terminal is for us, who end all in order.
      const child = spawn(file, args, { stdio: ['ignore', log, log], env: this.#spec.env, detached: true });
      this.#child = child;
      this.#startedMs = performance.now();
      this.#gone = new Promise((resolve) => {
        const ended = (how: string): void => {
          if (this.#child !== child) return;
          this.#child = undefined;
          this.paused = false;
          this.#how = how;
          resolve();
          if (this.#wanted) this.#endedAlone(how);
        };
        child.once('exit', (code, signal) => ended(signal ?? `code ${code}`));
        child.once('error', (error) => ended(error.message));
      });
    } finally {
      closeSync(log);
    }
    this.#tell('started');
  }

  #endedAlone(how: string): void {
    this.exits++;
    this.#tell('exited', how);
    if (!this.#spec.restart) return;
    if (performance.now() - this.#startedMs >= settledMs) this.#restartMs = restartMsMin;
    this.#restart = setTimeout(() => {
      this.#tell('restarting');
      this.#run();
    }, this.#restartMs);
    this.#restartMs = Math.min(this.#restartMs * 2, restartMsMax);
  }

  #tell(what: ClusterEvent['what'], how?: string): void {
    this.#spec.onEvent({ process: this, what, ...(how === undefined ? {} : { how }) });
  }

  #tail(): string {
    const log = openSync(this.logPath, 'r');
    try {
      const { size } = fstatSync(log);
      const tail = Buffer.alloc(Math.min(size, tailBytes));
      return tail.toString('utf8', 0, readSync(log, tail, 0, tail.length, size - tail.length));
    } finally {
      closeSync(log);
    }
  }
}
