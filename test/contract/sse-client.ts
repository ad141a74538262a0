// A reader of server-sent events for tests (HTML standard, 9.2.6), which can stop reading.
import { request, type IncomingMessage } from 'node:http';

export interface ServerEvent {
  readonly event: string;
  readonly id: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into data of every shape
  readonly data: any;
}

export class EventReader {
  readonly response: IncomingMessage;
  readonly events: ServerEvent[] = [];
  /** As a browser would send it back. */
  lastId = '';
  ended = false;
  #text = '';
  #wake: (() => void) | undefined;

  constructor(response: IncomingMessage) {
    this.response = response;
    response.setEncoding('utf8');
    response.on('data', (part: string) => this.#take(part));
    response.on('close', () => {
      this.ended = true;
      this.#wake?.();
    });
    response.on('error', () => {});
  }

  static open(baseUrl: string, path: string, headers: Record<string, string> = {}): Promise<EventReader> {
    const { hostname, port } = new URL(baseUrl);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        { hostname, port, path, headers: { accept: 'text/event-stream', ...headers }, agent: false },
        (response) => resolve(new EventReader(response)),
      );
      outgoing.on('error', reject);
      outgoing.end();
    });
  }

  #take(part: string): void {
    this.#text += part;
    for (let end = this.#text.indexOf('\n\n'); end !== -1; end = this.#text.indexOf('\n\n')) {
      const fields = new Map(
        this.#text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.split(':', 1)[0]!, line.slice(line.indexOf(':') + 1).trimStart()]),
      );
      this.#text = this.#text.slice(end + 2);
      this.lastId = fields.get('id') ?? this.lastId;
      const data = fields.get('data');
      if (data !== undefined)
        this.events.push({ event: fields.get('event') ?? 'message', id: this.lastId, data: JSON.parse(data) });
    }
    this.#wake?.();
  }

  /** Resolves when there are so many events, or it has ended. */
  async until(count: number): Promise<readonly ServerEvent[]> {
    await this.#wait(() => this.events.length >= count);
    return this.events;
  }

  end(): Promise<void> {
    return this.#wait(() => false);
  }

  async #wait(done: () => boolean): Promise<void> {
    while (!done() && !this.ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.response.destroy();
  }
}
