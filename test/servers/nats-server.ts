// One real nats-server process on loopback: started, stopped, killed, frozen, and started again on the
// same ports with the same data. What several of them are together: nats-cluster.ts.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { natsServerConfig } from '@statestore/cluster';
import type { NatsServerSettings } from '@statestore/cluster';
import { tool } from '../../scripts/tools.mjs';

const startTimeoutMs = 60_000;
const stopTimeoutMs = 15_000;
const answerTimeoutMs = 1000;
const logTailBytes = 4000;

/** Of this process, so that none outlives it. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class NatsServer {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  readonly monitorPort: number;
  /** Its configuration, log and data are in it. */
  readonly directory: string;
  readonly logPath: string;
  readonly #configPath: string;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #isPaused = false;

  /** `settings` without its place on disk: a folder of the server's name below `directory`. */
  constructor(settings: Omit<NatsServerSettings, 'storePath'>, directory: string) {
    this.name = settings.name;
    this.port = settings.port;
    this.monitorPort = settings.monitorPort;
    this.url = `nats://${settings.host}:${settings.port}`;
    this.directory = join(directory, settings.name);
    this.logPath = join(this.directory, 'nats-server.log');
    this.#configPath = join(this.directory, 'nats-server.conf');
    mkdirSync(this.directory, { recursive: true });
    writeFileSync(this.#configPath, natsServerConfig({ ...settings, storePath: join(this.directory, 'data') }));
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Resolves when it takes connections. It may have no quorum and no leader yet: `NatsCluster.ready`. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const log = openSync(this.logPath, 'a');
    const child = spawn(tool('nats-server'), ['-c', this.#configPath], { stdio: ['ignore', log, log] });
    closeSync(log);
    running.add(child);
    this.#child = child;
    this.#isPaused = false;
    this.#exited = new Promise((resolve) => {
      const gone = (): void => {
        running.delete(child);
        if (this.#child === child) this.#child = undefined;
        resolve();
      };
      child.once('exit', gone);
      child.once('error', gone);
    });
    const deadlineMs = performance.now() + startTimeoutMs;
    while ((await this.monitor('/varz')) === undefined) {
      if (this.#child !== child) throw new Error(`${this.name} ended while it started:\n${this.logTail()}`);
      if (performance.now() > deadlineMs) throw new Error(`${this.name} does not answer:\n${this.logTail()}`);
      await sleep(20);
    }
  }

  /** Gracefully, as SIGTERM asks; killed where it takes too long. */
  async stop(): Promise<void> {
    this.resume();
    this.#child?.kill('SIGTERM');
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), stopTimeoutMs);
    await this.#exited;
    clearTimeout(timer);
  }

  /** SIGKILL. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
    this.#isPaused = false;
  }

  /** SIGSTOP: its connections stay open, and nothing answers. */
  pause(): void {
    if (this.#child?.kill('SIGSTOP') === true) this.#isPaused = true;
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
    this.#isPaused = false;
  }

  /** Answer of its monitoring port, as JSON; undefined where there is none. */
  async monitor(path: string): Promise<unknown> {
    if (this.#child === undefined || this.#isPaused) return undefined;
    try {
      const answer = await fetch(`http://127.0.0.1:${this.monitorPort}${path}`, {
        signal: AbortSignal.timeout(answerTimeoutMs),
      });
      const body: unknown = await answer.json();
      return answer.ok ? body : undefined;
    } catch {
      return undefined;
    }
  }

  logTail(): string {
    return readFileSync(this.logPath, 'utf8').slice(-logTailBytes);
  }
}
