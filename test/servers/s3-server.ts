// One real S3 server on loopback, its buckets folders below its own: versitygw, whose conditional writes are atomic,
// or an older rclone, which takes `If-None-Match` and does not look at it. Started, stopped, killed, frozen.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { tool } from '../../scripts/tools.mjs';
import type { Certificate } from './certificates.ts';
import { freePorts } from './free-ports.ts';

const startTimeoutMs = 60_000;
const answerTimeoutMs = 1000;
const logTailBytes = 4000;

/** The keys of all of them. */
export const s3Keys = { accessKeyId: 'statestore-test', secretAccessKey: 'not-to-be-seen-anywhere-0123456789' };

export type S3ServerKind = 'versitygw' | 'rclone';

/** Of this process, so that none outlives it. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

interface Program {
  readonly path: string;
  readonly args: readonly string[];
}

function programOf(kind: S3ServerKind, port: number, root: string, isSecure: boolean): Program {
  const address = `127.0.0.1:${port}`;
  if (kind === 'versitygw') {
    const { accessKeyId, secretAccessKey } = s3Keys;
    const args = ['--access', accessKeyId, '--secret', secretAccessKey, '--port', address, '--keep-alive', '--quiet'];
    if (isSecure) args.push('--cert', certificatePath(root), '--key', keyPath(root));
    return { path: tool('versitygw'), args: [...args, 'posix', root] };
  }
  const keys = `${s3Keys.accessKeyId},${s3Keys.secretAccessKey}`;
  const aside = ['--config', join(root, '..', 'rclone.conf'), '--cache-dir', join(root, '..', 'cache')];
  return {
    path: tool('rclone-unconditional'),
    args: ['serve', 's3', root, '--addr', address, '--auth-key', keys, ...aside],
  };
}

function certificatePath(root: string): string {
  return join(root, '..', 'certificate.pem');
}

function keyPath(root: string): string {
  return join(root, '..', 'key.pem');
}

export class S3Server {
  readonly url: string;
  readonly port: number;
  /** Below it a folder for each bucket, and in those a file for each object. */
  readonly root: string;
  readonly logPath: string;
  readonly #kind: S3ServerKind;
  readonly #isSecure: boolean;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  /* oxlint-disable-next-line max-params -- what it is, and where */
  private constructor(kind: S3ServerKind, port: number, directory: string, isSecure: boolean) {
    this.#kind = kind;
    this.#isSecure = isSecure;
    this.port = port;
    this.url = `${isSecure ? 'https' : 'http'}://127.0.0.1:${port}`;
    this.root = join(directory, 'buckets');
    this.logPath = join(directory, `${kind}.log`);
    mkdirSync(this.root, { recursive: true });
  }

  /** `certificate`: of a versitygw that speaks TLS. */
  /* oxlint-disable-next-line max-params -- what it is, where, what it has, and how it is spoken to */
  static async start(
    kind: S3ServerKind,
    directory: string,
    buckets: readonly string[],
    certificate?: Certificate,
  ): Promise<S3Server> {
    const [port = 0] = await freePorts(1);
    const server = new S3Server(kind, port, directory, certificate !== undefined);
    if (certificate !== undefined) server.present(certificate);
    for (const bucket of buckets) mkdirSync(join(server.root, bucket), { recursive: true });
    await server.start();
    return server;
  }

  /** From its next start on. */
  present({ certificate, key }: Certificate): void {
    writeFileSync(certificatePath(this.root), certificate);
    writeFileSync(keyPath(this.root), key);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const { path, args } = programOf(this.#kind, this.port, this.root, this.#isSecure);
    const log = openSync(this.logPath, 'a');
    const child = spawn(path, args, { stdio: ['ignore', log, log] });
    closeSync(log);
    running.add(child);
    this.#child = child;
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
    while (!(await this.#answers())) {
      if (this.#child !== child) throw new Error(`${this.#kind} ended while it started:\n${this.logTail()}`);
      if (performance.now() > deadlineMs) throw new Error(`${this.#kind} does not answer:\n${this.logTail()}`);
      await sleep(20);
    }
  }

  /** SIGKILL. Resolves when it is gone; it may be started again. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** SIGSTOP: its connections stay open, and nothing answers. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  logTail(): string {
    return readFileSync(this.logPath, 'utf8').slice(-logTailBytes);
  }

  async #answers(): Promise<boolean> {
    // Whether its certificate is right is for a test to say.
    if (this.#isSecure) return accepts(this.port);
    try {
      await fetch(this.url, { signal: AbortSignal.timeout(answerTimeoutMs) });
      return true;
    } catch {
      return false;
    }
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
