// Follows all changes of a store, through one gateway after the other where a stream ends, from where it was.
import { setTimeout as sleep } from 'node:timers/promises';
import { EventReader } from '../contract/sse-client.ts';
import type { Watched } from '../history/checker/watches.ts';

const pauseMs = 200;
/** No change for so long after the last write: there is none left. */
const quietMs = 3000;

export class Follower {
  readonly told: Watched[] = [];
  readonly #urls: readonly string[];
  readonly #path: string;
  readonly #reading: Promise<void>;
  readonly #begun = Promise.withResolvers<void>();
  #reader: EventReader | undefined;
  #cursor = '';
  #stopped = false;
  #newestMs = 0;

  private constructor(urls: readonly string[], store: string) {
    this.#urls = urls;
    this.#path = `/v1/stores/${store}/watch`;
    this.#reading = this.#read();
  }

  /** Resolves when whatever is written from then on is told. */
  static async open(urls: readonly string[], store: string): Promise<Follower> {
    const follower = new Follower(urls, store);
    await follower.#begun.promise;
    return follower;
  }

  async #read(): Promise<void> {
    for (let at = 0; !this.#stopped; at++) {
      const headers: Record<string, string> = this.#cursor === '' ? {} : { 'last-event-id': this.#cursor };
      const reader = await EventReader.open(this.#urls[at % this.#urls.length]!, this.#path, headers).catch(
        () => undefined,
      );
      this.#reader = reader;
      if (reader !== undefined) await this.#follow(reader);
      if (!this.#stopped) await sleep(pauseMs);
    }
  }

  /** Until it ends. */
  async #follow(reader: EventReader): Promise<void> {
    for (let seen = 0; ;) {
      await reader.until(seen + 1);
      for (const { event, data, id } of reader.events.slice(seen)) this.#take(event, id, data as TellsOf);
      seen = reader.events.length;
      if (reader.ended) return;
    }
  }

  #take(event: string, id: string, { key, etag }: TellsOf): void {
    if (id !== '') this.#cursor = id;
    if (event === 'ready') this.#begun.resolve();
    if (event === 'error' || event === 'ready' || key === undefined || etag === undefined) return;
    this.#newestMs = performance.now();
    this.told.push({ key, revision: etag.replaceAll('"', '') });
  }

  /** When nothing was told for a while. */
  async stop(): Promise<readonly Watched[]> {
    this.#newestMs = performance.now();
    while (performance.now() - this.#newestMs < quietMs) await sleep(pauseMs);
    this.#stopped = true;
    this.#reader?.close();
    await this.#reading;
    return this.told;
  }
}

interface TellsOf {
  readonly key?: string;
  readonly etag?: string;
}
