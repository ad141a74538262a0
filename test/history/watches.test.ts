// The check of watches has teeth.
import { expect, test } from 'vitest';
import { checkWatch } from './checker/watches.ts';
import type { HistoryEvent } from './history.ts';

const write = (key: string, revision: string): HistoryEvent => ({
  client: 1,
  use: 'register',
  key,
  operation: { kind: 'write', value: `${key} ${revision}` },
  invokedMs: 1,
  returnedMs: 2,
  outcome: 'ok',
  revision,
});
const events = [write('a', '1'), write('b', '2'), write('a', '5')];
const messages = (told: readonly (readonly [string, string])[]): string[] =>
  checkWatch(
    events,
    told.map(([key, revision]) => ({ key, revision })),
  ).map(({ message }) => message);

test('every change once, in the order of each key', () => {
  // Of partitions in any order; also what nobody was told of.
  expect(
    messages([
      ['b', '2'],
      ['a', '1'],
      ['a', '3'],
      ['a', '5'],
    ]),
  ).toEqual([]);
});

test.each([
  [
    'missing',
    [
      ['a', '1'],
      ['a', '5'],
    ],
    /no watch is told of revision 2 of b/,
  ],
  [
    'twice',
    [
      ['a', '1'],
      ['b', '2'],
      ['a', '5'],
      ['a', '5'],
    ],
    /told of revision 5 after 5/,
  ],
  [
    'out of order',
    [
      ['a', '5'],
      ['b', '2'],
      ['a', '1'],
    ],
    /told of revision 1 after 5/,
  ],
] as const)('%s is found', (_, told, message) => {
  expect(messages(told).join()).toMatch(message);
});
