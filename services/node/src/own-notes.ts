// What a node notes of a log beside the state, with each batch: which log it is, when it stored the last batch, and the
// chain of the last positions.
import type { PartitionState } from '@statestore/core';
import { bytesFromBinary, incarnationKey } from '@statestore/core';
import { noteOfChain } from './chain-notes.ts';
import type { WriteBuffer } from './engine/write-buffer.ts';
import { noteOfRecord } from './last-record.ts';
import type { Log, LogRecord } from './log/log.ts';

export class OwnNotes {
  readonly #log: Pick<Log, 'exclusive' | 'incarnation'>;
  readonly #buffer: WriteBuffer;
  #isNamed: boolean;

  constructor(log: Pick<Log, 'exclusive' | 'incarnation'>, buffer: WriteBuffer) {
    this.#log = log;
    this.#buffer = buffer;
    this.#isNamed = buffer.has(incarnationKey);
  }

  /** After the batch's own writes. */
  note(record: LogRecord, state: Readonly<PartitionState>): void {
    const { position } = record;
    if (!this.#log.exclusive) {
      this.#buffer.put(noteOfRecord(record), position);
      this.#buffer.put(noteOfChain(state), position);
    }
    if (this.#isNamed) return;
    this.#buffer.put(new Map([[incarnationKey, bytesFromBinary(this.#log.incarnation)]]), position);
    this.#isNamed = true;
  }
}
