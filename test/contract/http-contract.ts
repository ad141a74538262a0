// What the HTTP API promises, over a real socket, whatever node is behind it. Run it with a factory that
// starts a gateway over an empty node; one server serves the whole suite, and each test has its own store.
import { afterAll, beforeAll } from 'vitest';
import { badInputContract } from './http-bad-input.ts';
import { HttpClient } from './http-client.ts';
import { checkpointsContract, type CheckpointsKind } from './http-checkpoints.ts';
import { conformanceContract } from './http-conformance.ts';
import { entriesContract } from './http-entries.ts';
import { manyContract } from './http-many.ts';
import { transactionsContract } from './http-transactions.ts';
import { partitionsContract } from './http-partitions.ts';
import { serviceContract } from './http-service.ts';
import { sessionsContract } from './http-sessions.ts';
import { storesContract } from './http-stores.ts';
import { watchContract } from './http-watch.ts';

export interface HttpServer {
  readonly baseUrl: string;
  close(): Promise<void>;
}

export type ClientOf = () => HttpClient;

/** `checkpoints`: what is behind the server of them. */
export function httpContract(start: () => Promise<HttpServer>, checkpoints: CheckpointsKind = 'none'): void {
  let server: HttpServer | undefined;
  let client: HttpClient | undefined;
  beforeAll(async () => {
    server = await start();
    client = new HttpClient(server.baseUrl);
  });
  afterAll(async () => {
    client?.close();
    await server?.close();
  });
  const clientOf: ClientOf = () => client!;
  entriesContract(clientOf);
  badInputContract(clientOf);
  manyContract(clientOf);
  transactionsContract(clientOf);
  storesContract(clientOf);
  sessionsContract(clientOf);
  watchContract(clientOf);
  serviceContract(clientOf);
  partitionsContract(clientOf);
  checkpointsContract(clientOf, checkpoints);
  // Last: it judges the answers to all of the above.
  conformanceContract(clientOf);
}
