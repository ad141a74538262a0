// One gateway's connection as the node sees it: handshake, requests, answers, back-pressure. The
// service's answers that are there at once are written in the turn in which the requests arrived.
import type { Socket } from 'node:net';
import { limits, StateStoreError } from '@statestore/core';
import { decodeCredit } from './codec/credit.ts';
import { encodeError } from './codec/error.ts';
import { type Frame, FrameDecoder, frameKind } from './frame.ts';
import { decodeHello, encodeHello, preamble, preambleBytes, preambleProblem, tokenMatches } from './handshake.ts';
import { type Method, methodByKind } from './methods.ts';
import type { NodeService } from './node-service.ts';
import { Outbox } from './outbox.ts';
import { sendInParts } from './parts.ts';
import { ServerStream } from './server-stream.ts';
import { streamByKind, type StreamMethod, type StreamRequest } from './streams.ts';

export interface ServerConnectionOptions {
  readonly service: NodeService;
  readonly software: string;
  /** Empty: everybody may connect. */
  readonly token: string;
  readonly inFlightMax: number;
  readonly silenceMs: number;
}

type Phase = 'preamble' | 'hello' | 'open' | 'draining' | 'refused';

export class ServerConnection {
  readonly #socket: Socket;
  readonly #options: ServerConnectionOptions;
  readonly #decoder = new FrameDecoder();
  readonly #outbox: Outbox;
  readonly #streams = new Map<number, ServerStream>();
  #phase: Phase = 'preamble';
  #inFlight = 0;
  #silentMs = 0;
  #waitingBytesBefore = 0;

  constructor(socket: Socket, options: ServerConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#outbox = new Outbox(socket, () => this.#drained());
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('error', () => {}); // 'close' follows.
    socket.on('close', () => {
      for (const stream of this.#streams.values()) stream.stop();
    });
  }

  get inFlight(): number {
    return this.#inFlight + this.#streams.size;
  }

  /** Takes no new requests; the client closes the connection when it has its answers. */
  drain(): void {
    if (this.#phase !== 'open') return this.destroy();
    this.#phase = 'draining';
    this.#outbox.frame(frameKind.goodbye, 0);
    for (const stream of this.#streams.values()) stream.stop(shuttingDown());
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Cuts a peer that neither sends nor takes anything; a live one sends pings. */
  tick(elapsedMs: number): void {
    const waitingBytes = this.#outbox.waitingBytes;
    this.#silentMs = waitingBytes < this.#waitingBytesBefore ? 0 : this.#silentMs + elapsedMs;
    this.#waitingBytesBefore = waitingBytes;
    if (this.#silentMs > this.#options.silenceMs) this.destroy();
  }

  #received(chunk: Buffer): void {
    this.#silentMs = 0;
    this.#decoder.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    this.#pump();
  }

  #drained(): void {
    for (const stream of this.#streams.values()) stream.look();
    this.#socket.resume();
    this.#pump();
  }

  /** Takes frames as long as there is room for answers. */
  #pump(): void {
    try {
      if (this.#phase === 'preamble' && !this.#greet()) return;
      while (!this.#outbox.congested && !this.#socket.destroyed && this.#phase !== 'refused') {
        const frame = this.#decoder.next();
        if (frame === undefined) return;
        this.#handle(frame);
      }
      if (this.#outbox.congested) this.#socket.pause();
    } catch (error) {
      this.#refuse(asStateStoreError(error, 'invalid_body'));
    }
  }

  #greet(): boolean {
    const received = this.#decoder.take(preambleBytes);
    if (received === undefined) return false;
    this.#outbox.raw(preamble());
    const problem = preambleProblem(received);
    if (problem !== undefined) throw problem;
    this.#phase = 'hello';
    return true;
  }

  #refuse(error: StateStoreError): void {
    if (this.#phase === 'refused') return;
    this.#phase = 'refused';
    for (const stream of this.#streams.values()) stream.stop();
    this.#outbox.frame(frameKind.refused, 0, encodeError(error));
    this.#outbox.end();
    // What the peer still sends is read and dropped, until it ends or `silenceMs` have passed.
    this.#socket.removeAllListeners('data');
    this.#socket.resume();
  }

  #handle(frame: Frame): void {
    if (this.#phase === 'hello') return this.#hello(frame);
    const { kind, id } = frame;
    if (kind === frameKind.ping) return this.#outbox.frame(frameKind.pong, id);
    if (kind === frameKind.cancel) return this.#streams.get(id)?.stop();
    if (kind === frameKind.credit) return this.#streams.get(id)?.grant(decodeCredit(frame.payload));
    if (this.#phase === 'draining') return this.#fail(id, shuttingDown());
    if (this.inFlight >= this.#options.inFlightMax) return this.#fail(id, this.#overloaded());
    const stream = streamByKind[kind];
    if (stream !== undefined) return this.#stream(stream, frame);
    const method = methodByKind[kind];
    if (method !== undefined) return this.#run(method, frame);
    this.#fail(
      id,
      new StateStoreError('invalid_parameter', `request kind ${kind} is not known to this node's version`),
    );
  }

  #overloaded(): StateStoreError {
    return new StateStoreError(
      'overloaded',
      `${this.inFlight} requests of this connection are in flight; there may be ${this.#options.inFlightMax}`,
      {
        retryAfterMs: 100,
      },
    );
  }

  #hello({ kind, payload }: Frame): void {
    if (kind !== frameKind.hello)
      throw new StateStoreError('invalid_body', `the first frame is of kind ${kind}; it must be hello`);
    const { token } = decodeHello(payload);
    if (this.#options.token !== '' && !tokenMatches(this.#options.token, token)) {
      throw new StateStoreError('unavailable', 'the node refused the link token', {
        hint: 'give gateways and nodes the same one',
      });
    }
    this.#phase = 'open';
    this.#outbox.frame(frameKind.hello, 0, encodeHello({ software: this.#options.software, token: '' }));
  }

  #run(method: Method<unknown, unknown>, { id, payload }: Frame): void {
    let request: unknown;
    try {
      request = method.decodeRequest(payload);
    } catch (error) {
      return this.#fail(id, unreadable(method.kind, error));
    }
    try {
      const answer = method.run(this.#options.service, request);
      if (!(answer instanceof Promise)) return this.#answer(method, id, answer);
      this.#inFlight++;
      answer.then(
        (value) => {
          this.#inFlight--;
          this.#answer(method, id, value);
        },
        (error: unknown) => {
          this.#inFlight--;
          this.#fail(id, failureOf(method, error));
        },
      );
    } catch (error) {
      this.#fail(id, failureOf(method, error));
    }
  }

  #answer(method: Method<unknown, unknown>, id: number, value: unknown): void {
    let payload: Uint8Array;
    try {
      payload = method.encodeAnswer(value);
    } catch (error) {
      // Not as the service's own refusal: it did what was asked.
      return this.#fail(id, failureOf(method, new Error('the answer cannot be written', { cause: error })));
    }
    if (payload.length > limits.linkAnswerBytesMax) return this.#fail(id, answerTooLarge(payload.length));
    sendInParts(this.#outbox, frameKind.answer, id, payload);
  }

  #fail(id: number, error: StateStoreError): void {
    this.#outbox.frame(frameKind.failure, id, encodeError(error));
  }

  #stream(method: StreamMethod<StreamRequest, unknown>, { id, payload }: Frame): void {
    if (this.#streams.has(id)) throw new StateStoreError('invalid_body', `id ${id} is in use by another stream`);
    let request: StreamRequest;
    try {
      request = method.decodeRequest(payload);
    } catch (error) {
      return this.#fail(id, unreadable(method.kind, error));
    }
    const stream = new ServerStream(id, this.#outbox, request.windowBytes);
    this.#streams.set(id, stream);
    stream.run(method, this.#options.service, request).then(
      () => {
        this.#streams.delete(id);
        if (!this.#socket.destroyed && this.#phase !== 'refused') this.#outbox.frame(frameKind.end, id);
      },
      (error: unknown) => {
        this.#streams.delete(id);
        if (!this.#socket.destroyed && this.#phase !== 'refused') this.#fail(id, asStateStoreError(error, 'internal'));
      },
    );
  }
}

function shuttingDown(): StateStoreError {
  return new StateStoreError('shutting_down', 'the node is shutting down', { retryAfterMs: 1000 });
}

function answerTooLarge(bytes: number): StateStoreError {
  const message = `the answer has ${bytes} bytes; it may have ${limits.linkAnswerBytesMax}`;
  return new StateStoreError('body_too_large', message, { hint: 'ask for fewer keys at once' });
}

function unreadable(kind: number, error: unknown): StateStoreError {
  const reason = error instanceof Error ? error.message : String(error);
  return new StateStoreError('invalid_body', `a request of kind ${kind} cannot be read: ${reason}`);
}

/** A write that failed in a way nobody foresaw may have been proposed. */
function failureOf(method: Method<unknown, unknown>, error: unknown): StateStoreError {
  return asStateStoreError(error, method.kind === frameKind.propose ? 'outcome_unknown' : 'internal');
}

function asStateStoreError(error: unknown, code: 'invalid_body' | 'internal' | 'outcome_unknown'): StateStoreError {
  if (error instanceof StateStoreError) return error;
  return new StateStoreError(code, error instanceof Error ? error.message : String(error), { cause: error });
}
