// A few clients that write keys of their own, one after the other, for as long as a test does something to the
// cluster; and what they were told.
import { setTimeout as sleep } from 'node:timers/promises';

const lanes = 4;
const requestTimeoutMs = 30_000;
/** Between two writes of a client: what is done to the cluster is looked at, not how much it takes. */
const thinkMs = 5;

interface Page {
  readonly entries: readonly { readonly key: string; readonly value: string }[];
  readonly cursor: string | null;
}

export class Load {
  /** Acknowledged. */
  readonly written = new Map<string, string>();
  /** What was not, and why. */
  readonly failures: string[] = [];
  readonly #gatewayUrl: string;
  readonly #stop = new AbortController();
  readonly #lanes: readonly Promise<void>[];

  constructor(gatewayUrl: string) {
    this.#gatewayUrl = gatewayUrl;
    this.#lanes = Array.from({ length: lanes }, (_, lane) => this.#write(lane));
  }

  urlOf(key: string): string {
    return `${this.#gatewayUrl}/v1/stores/steady/keys/${key}`;
  }

  async #write(lane: number): Promise<void> {
    for (let i = 0; !this.#stop.signal.aborted; i++) {
      const [key, value] = [`${lane}-${i}`, `value ${i}`];
      try {
        const signal = AbortSignal.timeout(requestTimeoutMs);
        const answer = await fetch(this.urlOf(key), { method: 'PUT', body: value, signal });
        if (answer.ok) this.written.set(key, value);
        else this.failures.push(`${key}: ${answer.status} ${await answer.text()}`);
      } catch (error) {
        this.failures.push(`${key}: ${String(error)}`);
      }
      await sleep(thinkMs);
    }
  }

  /** What is there, by `strong` reads. */
  async stored(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({
        limit: '1000',
        values: 'true',
        consistency: 'strong',
        ...(cursor === null ? {} : { cursor }),
      });
      const answer = await fetch(`${this.#gatewayUrl}/v1/stores/steady/keys?${query.toString()}`);
      if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
      const page = (await answer.json()) as Page;
      for (const { key, value } of page.entries) found.set(key, value);
      ({ cursor } = page);
    } while (cursor !== null);
    return found;
  }

  /** Twice is once. */
  async stop(): Promise<ReadonlyMap<string, string>> {
    this.#stop.abort();
    await Promise.all(this.#lanes);
    return this.written;
  }
}
