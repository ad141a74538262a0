// etcd as its users run it: three members, each with its JSON gateway, on loopback.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { tool } from '../../scripts/tools.mjs';
import { freePort } from '../../test/process/dev-server.ts';
import { rawRequest } from '../drive.ts';

export interface EtcdCluster {
  /** Of the members' HTTP ends. */
  readonly ports: readonly number[];
  readonly pids: readonly number[];
  readonly version: string;
  stop(): Promise<void>;
}

const members = 3;
const startLimitMs = 30_000;

export async function startEtcd(folder: string): Promise<EtcdCluster> {
  const binary = tool('etcd');
  const ports = await Promise.all(Array.from({ length: members * 2 }, freePort));
  const urlOf = (port: number): string => `http://127.0.0.1:${port}`;
  const initial = Array.from({ length: members }, (_, i) => `m${i}=${urlOf(ports[i * 2 + 1]!)}`).join(',');
  const children: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }),
    );
  };
  for (let i = 0; i < members; i++) {
    const client = urlOf(ports[i * 2]!);
    const peer = urlOf(ports[i * 2 + 1]!);
    const log = openSync(join(folder, `etcd-${i}.log`), 'a');
    const settings = {
      name: `m${i}`,
      'data-dir': join(folder, `etcd-${i}`),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': initial,
      'initial-cluster-state': 'new',
      'initial-cluster-token': 'bench',
      'log-level': 'error',
      // As large as the log of a run becomes: no compaction, no alarm in the middle of it.
      'quota-backend-bytes': String(8 * 1024 ** 3),
    };
    const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    children.push(spawn(binary, args, { stdio: ['ignore', log, log] }));
    closeSync(log);
  }
  const clients = Array.from({ length: members }, (_, i) => ports[i * 2]!);
  try {
    await Promise.all(clients.map(healthy));
    const answer = await fetch(`${urlOf(clients[0]!)}/version`);
    const { etcdserver } = (await answer.json()) as { etcdserver: string };
    return { ports: clients, pids: children.map(({ pid }) => pid!), version: etcdserver, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function healthy(port: number): Promise<void> {
  const until = performance.now() + startLimitMs;
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
    if (answer?.ok === true) return;
    if (performance.now() > until) throw new Error(`etcd on port ${port} is not healthy after ${startLimitMs} ms`);
    await sleep(100);
  }
}

const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');

export function etcdPut(key: string, value: Buffer): string {
  const body = Buffer.from(JSON.stringify({ key: base64(key), value: base64(value) }));
  return rawRequest('POST', '/v3/kv/put', body, 'application/json');
}

/** `serializable`: from the member asked, perhaps old; else linearizable. */
export function etcdGet(key: string, serializable: boolean): string {
  const body = Buffer.from(JSON.stringify({ key: base64(key), ...(serializable ? { serializable } : {}) }));
  return rawRequest('POST', '/v3/kv/range', body, 'application/json');
}

/** One transaction that puts them all: etcd's way to write many keys at once. Its default bound is 128 operations. */
export function etcdPutMany(keys: readonly string[], value: Buffer): string {
  const success = keys.map((key) => ({ requestPut: { key: base64(key), value: base64(value) } }));
  return rawRequest('POST', '/v3/kv/txn', Buffer.from(JSON.stringify({ success })), 'application/json');
}
