// The requests that have one answer, in one table that client and server share: how each is written,
// read and run. (Those that have many: streams.ts.)
import {
  type Command,
  decodeAppliedResult,
  decodeBatch,
  encodeAppliedResult,
  encodeBatch,
  limits,
  StateStoreError,
} from '@statestore/core';
import { WireReader } from '@statestore/core/wire';
import {
  decodeGetManyRequest,
  decodeGetManyResponse,
  decodeGetRequest,
  decodeGetResponse,
  decodeScanRequest,
  decodeScanResponse,
  encodeGetManyRequest,
  encodeGetManyResponse,
  encodeGetRequest,
  encodeGetResponse,
  encodeScanRequest,
  encodeScanResponse,
  type GetManyRequest,
  type GetRequest,
  type ScanRequest,
} from './codec/entry.ts';
import { encodeMessage } from './codec/message.ts';
import { decodeNodeStatus, encodeNodeStatus } from './codec/status.ts';
import {
  type CompactResponse,
  decodeCompactResponse,
  decodePartitionRequest,
  decodeStoreRequest,
  decodeStoreResponse,
  decodeStoresResponse,
  encodeCompactResponse,
  encodePartitionRequest,
  encodeStoreRequest,
  encodeStoreResponse,
  encodeStoresResponse,
  type PartitionRequest,
  type StoreRequest,
} from './codec/store.ts';
import { frameKind } from './frame.ts';
import type {
  Found,
  FoundMany,
  MaybePromise,
  NodeService,
  NodeStatus,
  Proposed,
  ScanPage,
  StoreInfo,
} from './node-service.ts';

export interface Method<Request, Answer> {
  readonly kind: number;
  /** Answers may be large: kept off the connection of small ones. */
  readonly bulk: boolean;
  encodeRequest(request: Request): Uint8Array;
  decodeRequest(bytes: Uint8Array): Request;
  encodeAnswer(answer: Answer): Uint8Array;
  decodeAnswer(bytes: Uint8Array): Answer;
  run(service: NodeService, request: Request): MaybePromise<Answer>;
}

export interface ProposeRequest {
  readonly partition: number;
  readonly command: Command;
  readonly generation?: number | undefined;
}

const nothing = new Uint8Array(0);

function encodeProposeRequest({ partition, command, generation = 0 }: ProposeRequest): Uint8Array {
  const batch = encodeBatch({ partition, proposer: '', number: 0, commands: [command] });
  return encodeMessage((w, bytes) => {
    w.uint(3, generation);
    w.bytes(2, bytes);
    w.uint(1, partition);
  }, batch);
}

function decodeProposeRequest(bytes: Uint8Array): ProposeRequest {
  const r = new WireReader(bytes);
  let partition = 0;
  let batch = nothing as Uint8Array;
  let generation: number | undefined;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) partition = r.uint();
    else if (field === 2) batch = r.bytes();
    else if (field === 3) generation = r.uint();
    else r.skip();
  }
  const { commands } = decodeBatch(batch);
  if (commands.length !== 1)
    throw new StateStoreError('invalid_body', `a propose carries ${commands.length} commands; it must carry 1`);
  return { partition, command: commands[0]!, generation };
}

const propose: Method<ProposeRequest, Proposed> = {
  kind: frameKind.propose,
  bulk: false,
  encodeRequest: encodeProposeRequest,
  decodeRequest: decodeProposeRequest,
  encodeAnswer: encodeAppliedResult,
  decodeAnswer: decodeAppliedResult,
  run: (service, { partition, command, generation }) => service.propose(partition, command, generation),
};

const get: Method<GetRequest, Found> = {
  kind: frameKind.get,
  bulk: false,
  encodeRequest: encodeGetRequest,
  decodeRequest: decodeGetRequest,
  encodeAnswer: encodeGetResponse,
  decodeAnswer: decodeGetResponse,
  run: (service, { partition, store, key, options }) => service.get(partition, store, key, options),
};

const getMany: Method<GetManyRequest, FoundMany> = {
  kind: frameKind.getMany,
  bulk: true,
  encodeRequest: encodeGetManyRequest,
  decodeRequest: decodeGetManyRequest,
  encodeAnswer: encodeGetManyResponse,
  decodeAnswer: decodeGetManyResponse,
  run: (service, { partition, store, keys, options }) => service.getMany(partition, store, keys, options),
};

const scan: Method<ScanRequest, ScanPage> = {
  kind: frameKind.scan,
  bulk: true,
  encodeRequest: encodeScanRequest,
  decodeRequest: decodeScanRequest,
  encodeAnswer: encodeScanResponse,
  decodeAnswer: decodeScanResponse,
  run: (service, request) => service.scan(request.partition, request.scan, request.options),
};

const store: Method<StoreRequest, StoreInfo | undefined> = {
  kind: frameKind.store,
  bulk: false,
  encodeRequest: encodeStoreRequest,
  decodeRequest: decodeStoreRequest,
  encodeAnswer: encodeStoreResponse,
  decodeAnswer: decodeStoreResponse,
  run: (service, request) => service.store(request.partition, request.store),
};

const stores: Method<PartitionRequest, readonly StoreInfo[]> = {
  kind: frameKind.stores,
  bulk: true,
  encodeRequest: encodePartitionRequest,
  decodeRequest: decodePartitionRequest,
  encodeAnswer: encodeStoresResponse,
  decodeAnswer: decodeStoresResponse,
  run: (service, { partition }) => service.stores(partition),
};

const sync: Method<PartitionRequest, void> = {
  kind: frameKind.sync,
  bulk: false,
  encodeRequest: encodePartitionRequest,
  decodeRequest: decodePartitionRequest,
  encodeAnswer: () => nothing,
  decodeAnswer: () => undefined,
  run: (service, { partition }) => service.sync(partition),
};

const compact: Method<PartitionRequest, CompactResponse> = {
  kind: frameKind.compact,
  bulk: false,
  encodeRequest: encodePartitionRequest,
  decodeRequest: decodePartitionRequest,
  encodeAnswer: encodeCompactResponse,
  decodeAnswer: decodeCompactResponse,
  run: (service, { partition }) => service.compact(partition),
};

const status: Method<undefined, NodeStatus> = {
  kind: frameKind.status,
  bulk: false,
  encodeRequest: () => nothing,
  decodeRequest: () => undefined,
  encodeAnswer: encodeNodeStatus,
  decodeAnswer: decodeNodeStatus,
  run: (service) => service.status(),
};

export const methods = { propose, get, getMany, scan, store, stores, sync, compact, status } as const;

/** The method that a frame of this kind asks for. */
export const methodByKind: readonly (Method<unknown, unknown> | undefined)[] = (() => {
  const byKind: Method<unknown, unknown>[] = [];
  for (const method of Object.values(methods)) byKind[method.kind] = method;
  return byKind;
})();

/** Bytes of a request that the link takes: a frame, less its header. */
export const requestBytesMax = limits.linkFrameBytesMax - 64;
