// A line for each acknowledged entry: what a kill test holds the server to afterwards.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { WriteStream } from 'node:fs';
import { createWriteStream } from 'node:fs';
import type { LoadRecord } from './record.ts';

export interface JournalLine {
  readonly key: string;
  /** Of the value, hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
}

export class Journal {
  readonly #stream: WriteStream;

  private constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  static async open(path: string): Promise<Journal> {
    const stream = createWriteStream(path, { flags: 'a' });
    await once(stream, 'open');
    return new Journal(stream);
  }

  /** Resolves when the operating system has the lines. */
  write(records: readonly LoadRecord[], prefix: string): Promise<void> {
    let lines = '';
    for (const { key, value } of records) {
      const sha256 = createHash('sha256').update(value).digest('hex');
      lines += `${JSON.stringify({ key: prefix + key, sha256, bytes: value.length } satisfies JournalLine)}\n`;
    }
    return new Promise((resolve, reject) => {
      this.#stream.write(lines, (failure) => (failure ? reject(failure) : resolve()));
    });
  }

  async close(): Promise<void> {
    this.#stream.end();
    await once(this.#stream, 'close');
  }
}
