// Checkpoints of the real `statestore dev`, by the real commands: made, listed, verified, deleted; what they print and
// end with; a final one on shutdown; a schedule; settings that are wrong.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DevServer } from './dev-server.ts';
import { type Ended, statestore } from './run-statestore.ts';

let folder: string;
let server: DevServer | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-checkpoints-'));
});
afterEach(async () => {
  await server?.stop();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

const data = (): string => join(folder, 'data');
const place = (): string[] => ['--repository-type', 'folder', '--repository-path', join(data(), 'checkpoints')];

async function put(key: string, value: string): Promise<void> {
  const { status } = await fetch(`${server!.url}/v1/stores/s/keys/${key}`, { method: 'PUT', body: value });
  expect(status).toBe(201);
}

async function listed(): Promise<
  readonly { readonly id: string; readonly trigger: string; readonly entries: number }[]
> {
  const { code, out, err } = await statestore('checkpoint', 'list', ...place(), '--json');
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out).checkpoints;
}

test('made by command, listed, shown, verified with a drill, and deleted but for the newest', async () => {
  server = await DevServer.start({ folder: data() });
  for (let i = 0; i < 20; i++) await put(`k${i}`, 'x'.repeat(500));
  const url = ['--url', server.url];
  const first = await statestore('checkpoint', 'create', ...url, '--wait');
  expect([first.code, first.err]).toEqual([0, '']);
  expect(first.out).toMatch(/^checkpoint [0-9a-f-]{36} is complete: 20 entries, .* uploaded, in /);
  await put('more', 'y');
  const second = await statestore('checkpoint', 'create', ...url, '--wait', '--json');
  const { run, checkpoint } = JSON.parse(second.out);
  expect([second.code, run.state, checkpoint.entries]).toEqual([0, 'completed', 21]);

  const list = await statestore('checkpoint', 'list', ...place());
  expect(list.out.split('\n')[0]).toMatch(/^CHECKPOINT +COMPLETE SINCE +CLUSTER +BY +PARTITIONS +ENTRIES/);
  const [newest, oldest] = await listed();
  expect([newest!.id, newest!.entries, oldest!.entries]).toEqual([checkpoint.id, 21, 20]);
  const shown = JSON.parse((await statestore('checkpoint', 'show', 'latest', ...place(), '--json')).out);
  expect(shown).toMatchObject({
    id: newest!.id,
    trigger: 'manual',
    partitions: 4,
    lineage: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
  expect((await statestore('checkpoint', 'show', 'latest', ...place())).out).toContain(`lineage ${shown.lineage}`);
  expect(shown.partitionList).toHaveLength(4);
  const verified = await statestore(
    'checkpoint',
    'verify',
    newest!.id,
    ...place(),
    '--drill',
    '--scratch',
    join(data(), 'drills'),
  );
  expect([verified.code, verified.err]).toEqual([0, '']);
  expect(verified.out).toMatch(/is good: 4 partitions.*\nrestored and proved: 4 of 4 partitions\narchive is good/);

  const kept = await statestore('checkpoint', 'delete', newest!.id, ...place());
  expect([kept.code, kept.out]).toEqual([3, `checkpoint ${newest!.id} stays: it is the newest good checkpoint\n`]);
  const gone = await statestore('checkpoint', 'delete', oldest!.id, ...place());
  expect([gone.code, gone.out]).toEqual([0, `checkpoint ${oldest!.id} is deleted\n`]);
  expect(await listed()).toHaveLength(1);
  const collected = await statestore('checkpoint', 'collect', ...place());
  expect([collected.code, collected.out]).toEqual([0, expect.stringContaining('removed 0 objects') as string]);
  const dry = await statestore('checkpoint', 'collect', '--grace', '1ms', '--dry-run', '--json', ...place());
  expect(JSON.parse(dry.out)).toMatchObject({ checkpoints: { outcome: 'collected', checkpoints: 1 } });
  const all = await statestore('checkpoint', 'collect', '--grace', '1ms', ...place());
  expect([all.code, all.out]).toEqual([0, expect.stringMatching(/removed [1-9]\d* objects of checkpoints/) as string]);
  const absent = await statestore('checkpoint', 'show', oldest!.id, ...place());
  expect([absent.code, absent.err]).toEqual([1, expect.stringContaining('is deleted') as string]);

  // One block is damaged: verify names it.
  const blocks = join(data(), 'checkpoints', 'blocks', newest!.id);
  const [block] = await readdir(blocks);
  await writeFile(join(blocks, block!), 'damaged');
  const damaged = await statestore('checkpoint', 'verify', 'latest', ...place());
  expect([damaged.code, damaged.out]).toEqual([3, expect.stringContaining(block!) as string]);

  const { text } = await fetch(`${server.url}/metrics`).then(async (response) => ({ text: await response.text() }));
  expect(text).toMatch(/^state_checkpoints_total\{outcome="created"\} 2$/m);
  expect(text).toMatch(/^state_checkpoint_age_seconds \d/m);
});

test('a restart forgets neither which there are nor how old the last one is; what is deleted by hand goes by itself', async () => {
  const args = ['--checkpoint-max-age', '1s', '--checkpoint-look-interval', '500ms', '--checkpoint-level', '19'];
  server = await DevServer.start({ folder: data(), partitions: 1, args });
  const metric = async (name: string): Promise<number | undefined> => {
    const text = await (await fetch(`${server!.url}/metrics`)).text();
    const found = new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const told = async (): Promise<string[]> => {
    const { checkpoints } = (await (await fetch(`${server!.url}/v1/checkpoints`)).json()) as {
      readonly checkpoints: readonly { readonly id: string }[];
    };
    return checkpoints.map(({ id }) => id);
  };
  // There never was one: no age of it, and the repository answers all the same.
  expect(await metric('state_checkpoint_age_seconds')).toBeUndefined();
  expect(await metric('state_repository_answer_age_seconds')).toBeLessThan(10);
  for (let i = 0; i < 3; i++) {
    await put(`k${i}`, 'x');
    const { code } = await statestore('checkpoint', 'create', '--url', server.url, '--wait');
    expect(code).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 1100));
  }
  // All are too old, and two of them stay.
  await expect.poll(told).toHaveLength(2);
  const [newest, older] = await listed();
  await server.stop();
  await server.restart();
  expect(await told()).toEqual([newest!.id, older!.id]);
  const age = await metric('state_checkpoint_age_seconds');
  expect(age).toBeGreaterThan(1);
  expect(age).toBeLessThan(60);
  expect((await statestore('checkpoint', 'delete', older!.id, ...place())).code).toBe(0);
  await expect.poll(told, { timeout: 20_000 }).toEqual([newest!.id]);
});

test('a schedule makes them, and one more when the process stops', async () => {
  const args = ['--checkpoint-interval', '10s', '--checkpoint-min-interval', '1s', '--checkpoint-on-shutdown'];
  server = await DevServer.start({ folder: data(), partitions: 1, args });
  await put('k', 'v');
  await expect
    .poll(async () => (await listed()).map(({ trigger }) => trigger), { timeout: 60_000, interval: 500 })
    .toContain('schedule');
  await put('last', 'v');
  await server.stop();
  const [newest] = await listed();
  expect(newest).toMatchObject({ trigger: 'shutdown', entries: 2 });
});

test('what is wrong is named, and nothing starts', async () => {
  const dev = (...args: readonly string[]): Promise<Ended> =>
    statestore('dev', '--data', data(), '--port', '0', ...args);
  for (const [args, message] of [
    [['--checkpoint-schedule', '61 * * * *'], '61 * * * *'],
    [['--checkpoint-schedule', '0 3 * * *', '--checkpoint-time-zone', 'Mars/Olympus'], 'Mars/Olympus'],
    [['--checkpoint-schedule', '0 3 * * *', '--checkpoint-interval', '1h'], '--checkpoint-interval'],
    [['--checkpoint-time-zone', 'UTC'], '--checkpoint-schedule'],
    [['--checkpoint-interval', '1s'], '--checkpoint-interval'],
    [['--checkpoint-interval', 'often'], 'often'],
    [['--checkpoints-max', '1'], '--checkpoints-max'],
    [['--checkpoint-deadline', '30d'], '--checkpoint-deadline'],
    [['--checkpoint-level', '20'], '--checkpoint-level'],
    [['--checkpoint-look-interval', '1ms'], '--checkpoint-look-interval'],
  ] as const) {
    const { code, err } = await dev(...args);
    expect([code, err]).toEqual([2, expect.stringContaining(message) as string]);
  }
  // A node of a cluster says it before it looks for anybody.
  const node = ['node', '--nats', 'nats://127.0.0.1:9', '--name', 'n1', '--port', '7000', ...place()];
  const wrongZone = ['--checkpoint-schedule', '0 3 * * *', '--checkpoint-time-zone', 'Mars/Olympus'];
  const refused = await statestore(...node, '--data', data(), ...wrongZone);
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('Mars/Olympus') as string]);
  const nowhere = await statestore('checkpoint', 'list');
  expect([nowhere.code, nowhere.err]).toEqual([2, expect.stringContaining('no repository') as string]);
  const unknown = await statestore('checkpoint', 'lst');
  expect([unknown.code, unknown.err]).toEqual([2, expect.stringContaining('create, list, show') as string]);
  const nobody = await statestore('checkpoint', 'create', '--url', 'http://127.0.0.1:9');
  expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining('http://127.0.0.1:9') as string]);
  expect((await statestore('checkpoint')).out).toContain('verify');
});
