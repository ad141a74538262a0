// A connection to NATS of which a test sees what is published and says what is answered: for what cannot be
// brought about with a real server at will. Whatever can is tested with real ones, in test/contract.
import { MsgImpl } from '@nats-io/nats-core/internal';
import type { Msg, MsgHdrs, NatsConnection } from '@statestore/cluster';

export interface Published {
  readonly subject: string;
  readonly text: string;
  readonly reply: string;
  readonly head: string;
}

interface Listener {
  readonly subject: string;
  readonly callback: (error: Error | null, message: Msg) => void;
}

export class FakeNats {
  readonly published: Published[] = [];
  closed = false;
  /** Thrown by what publishes. */
  refuses: Error | undefined;
  readonly #listeners = new Set<Listener>();

  get connection(): NatsConnection {
    const connection = {
      isClosed: () => this.closed,
      subscribe: (subject: string, { callback }: Omit<Listener, 'subject'>) => {
        const listener = { subject, callback };
        this.#listeners.add(listener);
        return { unsubscribe: () => this.#listeners.delete(listener) };
      },
      publish: (subject: string, data: Uint8Array | string, more: { reply?: string; headers?: MsgHdrs } = {}) => {
        if (this.refuses !== undefined) throw this.refuses;
        const head = more.headers === undefined ? '' : Buffer.from(encoded(more.headers)).toString();
        this.published.push({ subject, text: Buffer.from(data).toString(), reply: more.reply ?? '', head });
      },
    };
    return connection as unknown as NatsConnection;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** To whoever listens. `head`: as it travels. */
  say(subject: string, text: string, head = ''): void {
    const bytes = Buffer.from(head + text);
    const hdr = head === '' ? -1 : head.length;
    for (const listener of this.#listeners) {
      const prefix = listener.subject.endsWith('*') ? listener.subject.slice(0, -1) : undefined;
      if (prefix === undefined ? subject !== listener.subject : !subject.startsWith(prefix)) continue;
      const arg = { subject: Buffer.from(subject), sid: 1, hdr, size: bytes.length };
      listener.callback(null, new MsgImpl(arg, bytes, undefined as never) as Msg);
    }
  }
}

function encoded(headers: MsgHdrs): Uint8Array {
  return (headers as MsgHdrs & { encode(): Uint8Array }).encode();
}
