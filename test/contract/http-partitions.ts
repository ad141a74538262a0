// Partitions over HTTP: which there are, how many there are to be. Here they stay as many as they are; that they become
// others is shown where there are nodes that do it.
import { describe, expect, test } from 'vitest';
import type { ClientOf } from './http-contract.ts';

const path = '/v1/partitions/resize';

export function partitionsContract(clientOf: ClientOf): void {
  describe('partitions', () => {
    test('have all slots between them, and what is stored', async () => {
      const client = clientOf();
      const { status, json } = await client.get('/v1/partitions');
      expect([status, json.retired]).toEqual([200, []]);
      const { entries } = (await client.get('/v1/stats')).json;
      const sum = (of: string): number =>
        json.partitions.reduce((total: number, each: Record<string, number>) => total + (each[of] ?? 0), 0);
      expect([sum('slots'), sum('entries')]).toEqual([4096, entries]);
      expect((await client.get('/v1/partitions?all=true')).json).toMatchObject({ code: 'invalid_parameter' });
    });

    test('are to be as many as there are, and no less than one', async () => {
      const client = clientOf();
      const now = (await client.get(path)).json;
      expect(now).toMatchObject({ state: 'idle', wanted: now.partitions, part: 1, slotsLeft: 0, reshapes: [] });
      const put = (body: string) => client.put(path, body, { 'content-type': 'application/json' });
      expect((await put('{"partitions":0}')).json).toMatchObject({ status: 400, code: 'invalid_body' });
      expect((await put('{"partitions":')).json).toMatchObject({ status: 400, code: 'invalid_json' });
      const same = await put(JSON.stringify({ partitions: now.partitions }));
      if (same.status === 501) {
        expect(same.json.code).toBe('no_cluster');
        for (const action of ['pause', 'resume', 'cancel']) {
          expect((await client.post(`${path}/${action}`)).json.code).toBe('no_cluster');
        }
        return;
      }
      expect([same.status, same.json]).toEqual([200, now]);
      expect((await client.post(`${path}/pause`)).json).toMatchObject({ status: 400, code: 'invalid_parameter' });
      expect((await client.post(`${path}/resume`)).json).toEqual(now);
      expect((await client.post(`${path}/cancel`)).json).toEqual(now);
    });
  });
}
