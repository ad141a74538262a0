// Changes as server-sent events.
import { describe, expect, test } from 'vitest';
import { keyPath, newStore } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';
import { EventReader, type ServerEvent } from './sse-client.ts';

const seen = ({ event, data }: ServerEvent): string => `${event} ${data.key ?? ''}`;

export function watchContract(clientOf: ClientOf): void {
  describe('watch', () => {
    const open = (store: string, query = '', headers: Record<string, string> = {}) =>
      EventReader.open(clientOf().baseUrl, `/v1/stores/${store}/watch${query}`, headers);

    test('tells of every change of the store from the ready event on, with prefix and values', async () => {
      const client = clientOf();
      const store = newStore();
      await client.put(keyPath(store, 'before'), 'x');
      const all = await open(store);
      const some = await open(store, '?prefix=b&values=true');
      expect(seen((await all.until(1))[0]!)).toBe('ready ');
      await some.until(1);
      const etag = (await client.put(keyPath(store, 'a'), '1')).headers.etag;
      await client.put(keyPath(newStore(), 'a'), 'elsewhere');
      await client.put(keyPath(store, 'b'), Uint8Array.of(255), { 'content-type': 'x/y' });
      await client.delete(keyPath(store, 'a'));
      const events = await all.until(4);
      // Changes of one key come in order; those of two partitions in any.
      expect(
        events
          .slice(1)
          .map(seen)
          .filter((text) => text.endsWith(' a')),
      ).toEqual(['put a', 'delete a']);
      expect(events.map(seen)).toContain('put b');
      expect(events.find((event) => seen(event) === 'put a')!.data).toMatchObject({
        etag,
        time: expect.stringMatching(/^\d{4}-.*Z$/),
      });
      expect((await some.until(2))[1]).toMatchObject({
        event: 'put',
        data: { key: 'b', value: '/w==', encoding: 'base64', contentType: 'x/y' },
      });
      await client.delete(`/v1/stores/${store}`);
      const cleared = await all.until(5);
      expect(cleared[4]!.event).toBe('clear');
      expect(cleared[4]!.data.key).toBeUndefined();
      all.close();
      some.close();
    });

    test('resumes after any event without loss or repetition, also in the middle of a batch', async () => {
      const client = clientOf();
      const store = newStore();
      const first = await open(store);
      await first.until(1);
      // One position with many changes: keys of one slot in one batch.
      const put = (from: number) =>
        client.post(`/v1/stores/${store}/transactions`, {
          operations: Array.from({ length: 10 }, (_, i) => ({ op: 'put', key: `{s}${from + i}`, value: 'x' })),
        });
      await put(0);
      await client.put(keyPath(store, 'other'), 'x');
      await put(10);
      const events = [...(await first.until(22))];
      first.close();
      expect(events.length).toBe(22);
      const wanted = new Set(events.slice(1).map(seen));
      expect(wanted.size).toBe(21);
      for (const cut of [0, 1, 4, 10, 11, 15, 20]) {
        const again = await open(store, '', { 'last-event-id': events[cut]!.id });
        const rest = (await again.until(1 + 21 - cut)).slice(1, 1 + 21 - cut);
        expect(rest.map(seen).toSorted()).toEqual(
          [...wanted]
            .filter(
              (text) =>
                !events
                  .slice(1, cut + 1)
                  .map(seen)
                  .includes(text),
            )
            .toSorted(),
        );
        again.close();
      }
      const end = await open(store, `?cursor=${events[21]!.id}`);
      await end.until(1);
      await client.put(keyPath(store, 'last'), 'x');
      expect((await end.until(2)).map(seen)).toEqual(['ready ', 'put last']);
      end.close();
    });

    test('tells of expiry', async () => {
      const client = clientOf();
      const store = newStore();
      const reader = await open(store);
      await reader.until(1);
      await client.put(`${keyPath(store, 'k')}?ttl=20ms`, 'x');
      await reader.until(2);
      while (reader.events.length < 3) {
        await client.post('/v1/cleanup');
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      expect(reader.events.map(seen)).toEqual(['ready ', 'put k', 'expire k']);
      reader.close();
    });

    test('a cursor of another store or prefix is refused', async () => {
      const client = clientOf();
      const store = newStore();
      const reader = await open(store);
      const [{ id }] = (await reader.until(1)) as [ServerEvent];
      reader.close();
      for (const path of [
        `/v1/stores/${newStore()}/watch?cursor=${id}`,
        `/v1/stores/${store}/watch?cursor=${id}&prefix=a`,
        `/v1/stores/${store}/keys?cursor=${id}`,
      ]) {
        expect((await client.get(path)).json).toMatchObject({ status: 400, code: 'invalid_cursor' });
      }
    });
  });
}
