// Quotas over partitions: the sum of the allowances never exceeds the quota (I13), and a write is refused
// only when the quota is really used up, wherever the keys lie and however many write at once.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { startGateway, type Started } from './testing/start.ts';

const store = 's';
const partitions = 4;

async function allowances(it: Started): Promise<{ entries: number; granted: number }> {
  let entries = 0;
  let granted = 0;
  for (let partition = 0; partition < partitions; partition++) {
    const info = await it.node.store(partition, store);
    entries += info?.entries ?? 0;
    granted += info?.allowanceEntries ?? 0;
  }
  return { entries, granted };
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('put' as const), keys: fc.array(fc.nat(60), { maxLength: 12 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('delete' as const), keys: fc.array(fc.nat(60), { maxLength: 8 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('quota' as const), quota: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), of: fc.nat(partitions - 1) }) },
);

describe('a quota of entries', () => {
  test('is never passed by the sum of allowances, and is given out to the last entry', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), fc.array(step, { maxLength: 20 }), async (first, steps) => {
        const it = await startGateway({ timeouts: { quotaSettleMs: 1 } });
        const call = (method: string, path: string, body?: string) =>
          fetch(`${it.baseUrl}/v1/stores/${store}${path}`, {
            method,
            ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
          });
        try {
          let quota = first;
          await call('PUT', '/settings', JSON.stringify({ quotaEntries: quota }));
          for (const each of steps) {
            if (each.kind === 'quota') {
              quota = each.quota;
              await call('PUT', '/settings', JSON.stringify({ quotaEntries: quota }));
            } else if (each.kind === 'lose') {
              // As a gateway that ended between taking and giving.
              const settingsVersion = it.node.store(each.of, store)?.settingsVersion ?? 0;
              const body = { kind: 'adjustAllowance', store, settingsVersion, entries: -3, bytes: 0 } as const;
              await it.node.propose(each.of, { body });
            } else if (each.kind === 'delete') {
              await Promise.all(each.keys.map((key) => call('DELETE', `/keys/k${key}`)));
            } else {
              const before = (await allowances(it)).entries;
              const answers = await Promise.all(each.keys.map((key) => call('PUT', `/keys/k${key}`, 'v')));
              const { entries } = await allowances(it);
              const refused = answers.some(({ status }) => status === 507);
              // Refused means used up: no room was left lying in another partition.
              if (refused) expect(entries).toBe(Math.max(quota, before));
              expect(entries).toBeLessThanOrEqual(Math.max(quota, before));
            }
            expect((await allowances(it)).granted).toBeLessThanOrEqual(quota);
          }
        } finally {
          await it.gateway.close();
        }
      }),
      { numRuns: 100 },
    );
  });

  test('that was lowered below what is in use is not filled again by whoever deletes', async () => {
    for (let round = 0; round < 8; round++) {
      const it = await startGateway({ timeouts: { quotaSettleMs: 1 } });
      const call = (method: string, path: string, body: string | null = null) =>
        fetch(`${it.baseUrl}/v1/stores/${store}${path}`, {
          method,
          body,
          headers: { 'content-type': 'application/json' },
        });
      try {
        await call('PUT', '/settings', '{"quotaEntries":3}');
        const keys = [0, 1, 2].map((i) => `/keys/${round}-${i}`);
        for (const key of keys) expect((await call('PUT', key, '1')).status).toBe(201);
        await call('PUT', '/settings', '{"quotaEntries":2}');
        expect((await fetch(`${it.baseUrl}/v1/stores/${store}${keys[0]}`, { method: 'DELETE' })).status).toBe(200);
        for (let i = 0; i < 8; i++) expect((await call('PUT', `/keys/other-${i}`, '1')).status).toBe(507);
        expect((await fetch(`${it.baseUrl}/v1/stores/${store}${keys[1]}`, { method: 'DELETE' })).status).toBe(200);
        expect((await call('PUT', `/keys/${round}-9`, '1')).status).toBe(201);
        expect((await allowances(it)).entries).toBe(2);
      } finally {
        await it.gateway.close();
      }
    }
  });
});
