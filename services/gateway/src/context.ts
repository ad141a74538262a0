// What every route works with, made once from the options.
import type { CheckpointRuns, TopologyStore } from '@statestore/cluster';
import type { StoreSettings } from '@statestore/core';
import type { StoreInfo } from '@statestore/link';
import { TokenTexts } from './client-session.ts';
import { Admission, defaultBounds } from './admission.ts';
import { CursorSigner } from './cursor.ts';
import { GatewayMetrics } from './metrics.ts';
import { Moves } from './moves.ts';
import { defaultTimeouts, directoryOf, type GatewayLog, type GatewayOptions, type GatewayTimeouts } from './options.ts';
import { CommandProposer } from './proposer.ts';
import { Quotas } from './quota.ts';
import { Routing } from './routing.ts';
import { Sessions } from './sessions.ts';
import { Writer } from './writer.ts';

export interface GatewayContext {
  readonly version: string;
  readonly timeouts: GatewayTimeouts;
  readonly log: GatewayLog | undefined;
  readonly routing: Routing;
  readonly proposer: CommandProposer;
  readonly quotas: Quotas;
  readonly moves: Moves;
  readonly writer: Writer;
  readonly cursors: CursorSigner;
  readonly tokens: TokenTexts;
  readonly metrics: GatewayMetrics;
  readonly admission: Admission;
  readonly watchersMax: number | undefined;
  readonly checkpoints: CheckpointRuns | undefined;
  readonly topologyStore: Pick<TopologyStore, 'read' | 'replace'> | undefined;
  /** Aborted when the gateway closes: streams end then. */
  readonly closing: AbortController;
}

export function makeContext(options: GatewayOptions): GatewayContext {
  const timeouts = { ...defaultTimeouts, ...options.timeouts };
  const routing = new Routing(options.topology, directoryOf(options.node));
  const proposer = new CommandProposer(routing, new Sessions(), timeouts.proposeMs);
  const moves = new Moves(routing, timeouts.movedMs);
  const quotas = new Quotas(routing, proposer, moves, timeouts.quotaSettleMs);
  const metrics = new GatewayMetrics(routing, options.registry);
  const admission = new Admission(options.inFlight ?? defaultBounds);
  admission.export(metrics.registry);
  moves.export(metrics.registry);
  return {
    version: options.version,
    timeouts,
    log: options.log,
    routing,
    proposer,
    quotas,
    moves,
    writer: new Writer(routing, proposer, quotas, moves),
    cursors: new CursorSigner(options.cursorKey),
    tokens: new TokenTexts(routing),
    metrics,
    admission,
    watchersMax: options.watchersMax,
    checkpoints: options.checkpoints,
    topologyStore: options.topologyStore,
    closing: new AbortController(),
  };
}

/** A store over all partitions. */
export interface WholeStore {
  readonly store: string;
  readonly entries: number;
  readonly bytes: number;
  readonly expired: number;
  readonly settings: StoreSettings;
}

export function mergeStore(
  into: WholeStore | undefined,
  { store, entries, bytes, expired, settings }: StoreInfo,
): WholeStore {
  if (into === undefined) return { store, entries, bytes, expired, settings };
  return {
    store,
    entries: into.entries + entries,
    bytes: into.bytes + bytes,
    expired: into.expired + expired,
    settings: isSet(into.settings) ? into.settings : settings,
  };
}

/** Settings reach every partition; one that was never told of them has the defaults. */
function isSet({ defaultTtlMs, quotaEntries, quotaBytes }: StoreSettings): boolean {
  return defaultTtlMs !== 0 || quotaEntries !== undefined || quotaBytes !== undefined;
}

/** Undefined where no partition knows the store. Of partitions that had all slots between them, each once. */
export async function readStore({ routing, moves }: GatewayContext, store: string): Promise<WholeStore | undefined> {
  const infos = await moves.through(({ partitions, slotsEpochOf }) =>
    Promise.all(
      partitions.map((partition) => routing.nodeOf(partition).store(partition, store, slotsEpochOf(partition))),
    ),
  );
  return infos.reduce<WholeStore | undefined>(
    (whole, info) => (info === undefined ? whole : mergeStore(whole, info)),
    undefined,
  );
}
