// The requests that have many answers, in one table that client and server share: how each is asked and
// run, and how its items are written and read. Items flow by credit, so that whoever takes them slowly
// holds up nobody else: server-stream.ts gives them, client-stream.ts takes them.
import {
  type CheckpointRequest,
  decodeCheckpointItem,
  decodeCheckpointRequest,
  encodeCheckpointItem,
  encodeCheckpointRequest,
} from './codec/checkpoint.ts';
import {
  type CopyRequest,
  decodeCopyRequest,
  decodeStatePart,
  encodeCopyRequest,
  encodeStatePart,
} from './codec/copy.ts';
import {
  decodeWatchItem,
  decodeWatchRequest,
  encodeWatchItem,
  encodeWatchRequest,
  type WatchRequest,
} from './codec/watch.ts';
import { frameKind } from './frame.ts';
import type { ChangeBatch, CheckpointItem, NodeService, StatePart } from './node-service.ts';

export interface StreamRequest {
  /** Bytes of items that may be sent before any of them was taken. */
  readonly windowBytes: number;
}

export interface StreamMethod<Request extends StreamRequest, Item> {
  readonly kind: number;
  encodeRequest(request: Request): Uint8Array;
  decodeRequest(bytes: Uint8Array): Request;
  encodeItem(item: Item): Uint8Array;
  decodeItem(bytes: Uint8Array): Item;
  run(service: NodeService, request: Request, signal: AbortSignal): AsyncIterable<Item>;
}

const watch: StreamMethod<WatchRequest, ChangeBatch> = {
  kind: frameKind.watch,
  encodeRequest: encodeWatchRequest,
  decodeRequest: decodeWatchRequest,
  encodeItem: encodeWatchItem,
  decodeItem: decodeWatchItem,
  run: (service, { partition, store, prefix, from, generation }, signal) =>
    service.watch(partition, { store, prefix, generation, signal, ...(from === undefined ? {} : { from }) }),
};

const copyState: StreamMethod<CopyRequest, StatePart> = {
  kind: frameKind.copyState,
  encodeRequest: encodeCopyRequest,
  decodeRequest: decodeCopyRequest,
  encodeItem: encodeStatePart,
  decodeItem: decodeStatePart,
  run: (service, { partition }, signal) => service.copyState(partition, { signal }),
};

const writeCheckpoint: StreamMethod<CheckpointRequest, CheckpointItem> = {
  kind: frameKind.writeCheckpoint,
  encodeRequest: encodeCheckpointRequest,
  decodeRequest: decodeCheckpointRequest,
  encodeItem: encodeCheckpointItem,
  decodeItem: decodeCheckpointItem,
  run: (service, request, signal) => service.writeCheckpoint(request.partition, { ...request, signal }),
};

export const streams = { watch, copyState, writeCheckpoint } as const;

/** The stream that a frame of this kind asks for. */
export const streamByKind: readonly (StreamMethod<StreamRequest, unknown> | undefined)[] = (() => {
  const byKind: StreamMethod<StreamRequest, unknown>[] = [];
  for (const stream of Object.values(streams)) byKind[stream.kind] = stream;
  return byKind;
})();
