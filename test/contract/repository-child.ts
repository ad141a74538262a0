// A process that works in a repository in a folder, for tests to kill, or to run where the disk is small.
//   repository-child.ts create FOLDER RUN   creates objects for ever; prints the name of each that was created
//   repository-child.ts race FOLDER RUN     creates the objects 0 to 299 beside others; prints those that it created
//   repository-child.ts fill FOLDER         creates objects until the disk is full; prints what happened, as JSON
//   repository-child.ts fill-s3 FOLDER      the same, in an S3 server that keeps them there
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { openRepository, repositoryFromUrl } from '@statestore/checkpoint';
import type { Repository } from '@statestore/checkpoint';
import { StateStoreError } from '@statestore/core';
import { S3Server } from '../servers/s3-server.ts';
import { s3Settings } from './s3-fixture.ts';

const writersCount = 8;
export const racedObjects = 300;

/** What the object of this name holds: any torn or mixed one differs from it. */
export function childContent(name: string): Uint8Array {
  const seed = createHash('sha256').update(name).digest();
  const bytes = Buffer.alloc(1000 + (seed.readUInt32LE(0) % 400_000));
  for (let at = 0; at < bytes.length; at += seed.length) seed.copy(bytes, at);
  return bytes;
}

async function createForEver(repository: Repository, run: string): Promise<void> {
  let next = 0;
  const writer = async (): Promise<void> => {
    for (;;) {
      const name = `blocks/${run}/${next++}`;
      if ((await repository.create(name, childContent(name))) !== 'created') throw new Error(`${name} exists`);
      writeSync(1, `${name}\n`);
    }
  };
  await Promise.all(Array.from({ length: writersCount }, writer));
}

async function race(repository: Repository, run: string): Promise<void> {
  const outcomes = Array.from({ length: racedObjects }, async (_, i) => {
    const outcome = await repository.create(`checkpoints/${i}`, Buffer.from(run));
    if (outcome === 'created') writeSync(1, `${i}\n`);
  });
  await Promise.all(outcomes);
}

async function fill(repository: Repository): Promise<void> {
  const created: string[] = [];
  const codes = new Set<string>();
  for (let i = 0; codes.size === 0 && i < 10_000; i++) {
    const name = `blocks/x/${i}`;
    try {
      await repository.create(name, childContent(name));
      created.push(name);
    } catch (error) {
      codes.add(error instanceof StateStoreError ? error.code : String(error));
    }
  }
  const put = await repository.put(created[0]!, Buffer.alloc(8_000_000)).catch((error: StateStoreError) => error.code);
  const whole: boolean[] = [];
  for (const name of created) {
    whole.push(Buffer.compare((await repository.get(name))!, childContent(name)) === 0);
  }
  const listed: string[] = [];
  for await (const { name } of repository.list('')) listed.push(name);
  await repository.remove(created);
  const after = await repository.create('after', childContent('after'));
  await repository.remove(['after']);
  print({ created: created.length, codes: [...codes], put, whole: whole.every(Boolean), listed: listed.length, after });
}

async function fillServer(folder: string): Promise<void> {
  const server = await S3Server.start('versitygw', folder, ['checkpoints']);
  const repository = await openRepository(s3Settings(server.url, { repositoryAttempts: '2' }));
  try {
    await fill(repository);
  } finally {
    await repository.close();
    await server.kill();
  }
}

function print(result: unknown): void {
  writeSync(1, `${JSON.stringify(result)}\n`);
}

if (import.meta.main) {
  const [mode, folder = '', run = ''] = process.argv.slice(2);
  const inFolder = (): Promise<Repository> => openRepository(repositoryFromUrl(`file://${folder}`));
  if (mode === 'create') await createForEver(await inFolder(), run);
  else if (mode === 'race') await race(await inFolder(), run);
  else if (mode === 'fill') await fill(await inFolder());
  else if (mode === 'fill-s3') await fillServer(folder);
  else throw new Error(`unknown mode ${mode}`);
}
