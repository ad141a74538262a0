// Our search and an independent one (Porcupine, in Go) come to the same verdicts, on histories that are right and
// on such that were damaged a little, where it takes a search to tell.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SeededRandom } from '../process/seeded-random.ts';
import { groupOf } from './checker/accounts.ts';
import { checkHistory } from './history-checker.ts';
import type { HistoryEvent } from './history.ts';
import { auditKey, HistoryFile, isRelaxed } from './history.ts';
import { porcupine } from './porcupine/porcupine.ts';
import { simulateHistory, simulatedAccounts } from './simulated-history.ts';

const histories = 600;
const operations = 60;
const clients = 5;
const accounts = Object.keys(simulatedAccounts) as (keyof typeof simulatedAccounts)[];

/** Writes and strong reads, without what would tell the order. */
function plain(seed: number): HistoryEvent[] {
  return simulateHistory(seed, operations, clients)
    .filter((event) => !isRelaxed(event) && ['r0', 'c0', 'l0', ...accounts, auditKey].includes(event.key))
    .map(({ revision: _revision, revisions: _revisions, session: _session, partition: _partition, ...event }) => event);
}

/** One read shows what another one saw. */
function damaged(events: readonly HistoryEvent[], random: SeededRandom): HistoryEvent[] {
  const reads = events.filter(
    ({ operation: { kind }, outcome }) => (kind === 'read' || kind === 'audit') && outcome === 'ok',
  );
  const victim = random.pick(reads);
  const same = reads.filter(({ key }) => key === victim.key);
  const { result } = random.pick(same);
  return events.map((event) => (event === victim ? { ...event, result: result! } : event));
}

/** With keys of its own, so that all histories find room in one file. */
function renamed(event: HistoryEvent, seed: number): HistoryEvent {
  const { use, key, operation, result } = event;
  if (use !== 'account') return { ...event, key: `${key}-${seed}` };
  const nameOf = (account: string): string => `{bank-${seed}}${account}`;
  const told = Object.entries((result ?? {}) as Record<string, number>).map(
    ([of, held]) => [nameOf(of), held] as const,
  );
  return {
    ...event,
    key: nameOf(key),
    operation: operation.kind === 'transfer' ? { ...operation, to: nameOf(operation.to) } : operation,
    ...(result !== undefined && { result: Object.fromEntries(told) }),
  };
}

function objectOf(use: string, key: string): string {
  return use === 'account' ? `${use} ${groupOf(key)}` : `${use} ${key}`;
}

test('same verdict, hundreds of histories', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'statestore-porcupine-'));
  const path = join(folder, 'history.ndjson');
  const file = new HistoryFile(path);
  const random = new SeededRandom(1);
  const objects = new Set<string>();
  const seeds = Array.from({ length: histories }, (_, at) => at + 1);
  const initial = Object.fromEntries(
    seeds.flatMap((seed) => accounts.map((name) => [`{bank-${seed}}${name}`, simulatedAccounts[name]])),
  );
  file.note({ type: 'run', version: 1, seed: 1, store: '', faults: [], initial: { accounts: initial } });
  for (const seed of seeds) {
    const events = random.chance(0.7) ? damaged(plain(seed), random) : plain(seed);
    for (const event of events) {
      const own = renamed(event, seed);
      objects.add(objectOf(own.use, own.key));
      file.add(own);
    }
  }
  file.close();
  const wrong = new Set<string>();
  for (const { rule, key, events } of checkHistory(file.events, { accounts: initial })) {
    expect(rule, key).not.toBe('undecided');
    wrong.add(objectOf((events[0] as HistoryEvent).use, key));
  }
  const judgement = await porcupine(path);
  expect(judgement.undecided).toEqual([]);
  expect(judgement.objects).toBe(objects.size);
  expect([...wrong].toSorted()).toEqual(judgement.illegal);
  // And both verdicts were there often.
  expect(wrong.size).toBeGreaterThan(50);
  expect(objects.size - wrong.size).toBeGreaterThan(50);
  await rm(folder, { recursive: true });
});
