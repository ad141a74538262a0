// How much a gateway works on at a time. Past it a request is refused as it arrives, before anything is read
// of its body and long before anything is proposed: a gateway that takes more than it gets rid of would
// answer everybody late, then run out of memory. (Each partition's queue has its own bound, in the node.)
import { limits, StateStoreError } from '@statestore/core';
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify';
import { Counter, Gauge, type Registry } from 'prom-client';

export interface InFlightBounds {
  readonly requests: number;
  /** Of bodies, as they are announced. */
  readonly bytes: number;
}

export const defaultBounds: InFlightBounds = {
  requests: limits.gatewayInFlightRequestsMax,
  bytes: limits.gatewayInFlightBytesMax,
};

export class Admission {
  readonly #bounds: InFlightBounds;
  #requests = 0;
  #bytes = 0;
  #refused = 0;

  constructor(bounds: InFlightBounds) {
    this.#bounds = bounds;
  }

  /** A hook for when a request arrives. */
  readonly hook = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void => {
    const bytes = announcedBytes(request);
    const { requests: requestsMax, bytes: bytesMax } = this.#bounds;
    // One alone is taken, however large: else it would never be.
    if (this.#requests >= requestsMax || (this.#bytes + bytes > bytesMax && this.#requests > 0)) {
      this.#refused++;
      done(
        new StateStoreError(
          'too_many_requests',
          `this gateway works on ${this.#requests} requests with ${this.#bytes} bytes; it takes ${requestsMax} and ${bytesMax}`,
          { retryAfterMs: limits.gatewayInFlightRetryMs },
        ),
      );
      return;
    }
    this.#requests++;
    this.#bytes += bytes;
    if (bytes === 0) reply.raw.on('close', this.#left);
    else reply.raw.on('close', () => this.#leave(bytes));
    done();
  };

  /** Most requests have no body: no closure for them. */
  readonly #left = (): void => this.#leave(0);

  #leave(bytes: number): void {
    this.#requests--;
    this.#bytes -= bytes;
  }

  export(registry: Registry): void {
    const registers = [registry];
    const now = (): readonly [requests: number, bytes: number, refused: number] => [
      this.#requests,
      this.#bytes,
      this.#refused,
    ];
    new Gauge({
      name: 'state_requests_in_flight',
      help: 'Requests that the gateway works on; watches are counted apart',
      registers,
      collect() {
        this.set(now()[0]);
      },
    });
    new Gauge({
      name: 'state_request_bytes_in_flight',
      help: 'Bytes of bodies of the requests that the gateway works on',
      registers,
      collect() {
        this.set(now()[1]);
      },
    });
    new Counter({
      name: 'state_requests_refused_total',
      help: 'Requests refused with 429 since too many were in flight',
      registers,
      collect() {
        this.reset();
        this.inc(now()[2]);
      },
    });
  }
}

/** A body of unknown length may be as long as the longest value. */
function announcedBytes({ headers }: FastifyRequest): number {
  const length = headers['content-length'];
  if (length !== undefined) return Number(length);
  return headers['transfer-encoding'] === undefined ? 0 : limits.valueBytesMax;
}
