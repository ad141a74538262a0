// `npm run bench -- <name>`: one file a question, each printing a table with ratios measured in one run.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Bench } from './bench.ts';
import { machine } from './bench.ts';

/** Loaded when asked for: a benchmark must not pay for the imports of another. */
const benches: Readonly<Record<string, { readonly asks: string; load(): Promise<Bench> }>> = {
  engine: {
    asks: 'gets and puts of the engines against raw lmdb-js; apply, codec and hash per command',
    load: async () => (await import('./engine.ts')).engine,
  },
  gateway: {
    asks: 'GET, durable PUT and many-key calls against a bare Fastify route',
    load: async () => (await import('./gateway.ts')).gateway,
  },
  scan: { asks: 'listing 100,000 entries over 4 partitions', load: async () => (await import('./scan.ts')).scan },
  memory: {
    asks: 'resident memory with 1,000,000 entries of 128 bytes, loading and serving',
    load: async () => (await import('./memory.ts')).memory,
  },
  link: {
    asks: 'calls over the link between gateway and node, in two processes',
    load: async () => (await import('./link.ts')).link,
  },
  copy: {
    asks: "copying a replica of 1,000,000 entries to another node, and what the source's traffic feels of it",
    load: async () => (await import('./copy.ts')).copy,
  },
  checkpoint: {
    asks: 'checkpoints of 1,000 to 1,000,000 entries and their restore, against bare compression; what a second one uploads',
    load: async () => (await import('./checkpoint.ts')).checkpoints,
  },
  'checkpoint-writes': {
    asks: 'PUTs while a checkpoint is made, against PUTs while none is: one server, and a cluster',
    load: async () => (await import('./checkpoint-writes.ts')).checkpointWrites,
  },
  'checkpoint-memory': {
    asks: 'how far the process grows while a checkpoint is made of 1 and 5 million entries, to a folder and to S3',
    load: async () => (await import('./checkpoint-memory.ts')).checkpointMemory,
  },
  'checkpoint-wiped': {
    asks: 'how soon a node serves again whose disk was wiped, from S3 and from a peer, against bare copies',
    load: async () => (await import('./checkpoint-wiped.ts')).checkpointWiped,
  },
  resize: {
    asks: 'what clients feel while 2 partitions become 8 and 8 become 2, under load, and what is moved for it',
    load: async () => (await import('./resize.ts')).resize,
  },
  profile: {
    asks: 'where the CPU of a server goes under GET and under PUT, by function',
    load: async () => (await import('./profile.ts')).profile,
  },
  replicated: {
    asks: 'three replicas against etcd and NATS key-value: puts, gets, many keys, and what they cost',
    load: async () => (await import('./replicated.ts')).replicated,
  },
  'replicated-scale': {
    asks: 'replicated puts over partitions, replicas, sizes of values and connections',
    load: async () => (await import('./replicated-scale.ts')).replicatedScale,
  },
  generator: {
    asks: 'how much load the generator of these benchmarks makes, against autocannon',
    load: async () => (await import('./generator.ts')).generator,
  },
};

const usage = `npm run bench -- <name> [--seconds N] [--repeats N] [--entries N,…] [--json FILE]\n\n${Object.entries(
  benches,
)
  .map(([name, { asks }]) => `  ${name.padEnd(18)} ${asks}`)
  .join('\n')}\n`;

class UsageError extends Error {}

function positive(option: string, text: string): number {
  const number = Number(text);
  if (Number.isFinite(number) && number > 0 && number <= 3600) return number;
  throw new UsageError(`--${option} is ${text}; it may be a number above 0, at most 3600`);
}

const entriesMax = 100_000_000;

function entriesOf(text: string | undefined): readonly number[] | undefined {
  const numbers = text?.split(',').map(Number);
  if (numbers?.every((one) => Number.isInteger(one) && one > 0 && one <= entriesMax) !== false) return numbers;
  throw new UsageError(`--entries is ${text}; it may be whole numbers from 1 to ${entriesMax}, with commas between`);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '4' },
      repeats: { type: 'string', default: '5' },
      entries: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const [name] = positionals;
  if (values.help || name === undefined) {
    process.stdout.write(usage);
    return;
  }
  const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
  if (bench === undefined || positionals.length > 1) {
    throw new UsageError(
      `there is no benchmark ${positionals.join(' ')}; it may be ${Object.keys(benches).join(', ')}`,
    );
  }
  const seconds = positive('seconds', values.seconds);
  const repeats = Math.ceil(positive('repeats', values.repeats));
  const entries = entriesOf(values.entries);
  const folder = await mkdtemp(join(tmpdir(), 'statestore-bench-'));
  try {
    const run = await bench.load();
    const print = (text: string): void => void process.stdout.write(`${text}\n`);
    const rows = await run({ seconds, repeats, entries, folder, print });
    const report = { bench: name, at: new Date().toISOString(), machine: machine(), seconds, repeats, entries, rows };
    if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  const isUsage = error instanceof UsageError;
  process.stderr.write(isUsage ? `${error.message}\n\n${usage}` : `${String((error as Error).stack)}\n`);
  process.exitCode = isUsage ? 2 : 1;
});
