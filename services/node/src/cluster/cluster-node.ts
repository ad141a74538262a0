// A node of a cluster: it follows the topology, holds the replicas that it names here, tells the cluster how
// they are, and looks after what is around them. The link in front of it is its owner's.
import { randomUUID } from 'node:crypto';
import type { NodeReport, ReplicaReport } from '@statestore/cluster';
import { checkClusterName, checkNodeName, Coordinator, recoverLog } from '@statestore/cluster';
import type { Command, Topology } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { Registry } from 'prom-client';
import { mayGrow } from '../command-check.ts';
import type { ClusterDataDirectory } from '../data-directory.ts';
import { openClusterDataDirectory } from '../data-directory.ts';
import { LocalNode } from '../local-node.ts';
import { openMergeWork } from '../reshape/merge-work.ts';
import { ReshapeSet } from '../reshape/reshape-set.ts';
import { openSplitWork } from '../reshape/split-work.ts';
import { systemTime } from '../time.ts';
import type { ArchiveSource } from '../checkpoint/archivers.ts';
import { archiveSourcesOf, heldLogsOf } from './archive-sources.ts';
import { ClusterView } from './cluster-view.ts';
import { connectionStateOf, proofExchangeOf } from './connection-state.ts';
import { DiskRoom } from './disk-room.ts';
import type { DiskLevel, DiskSpace } from './disk-watch.ts';
import { defaultDiskBounds, DiskWatch, readDisk } from './disk-watch.ts';
import { KeptData } from './kept-data.ts';
import { LastTopology } from './last-topology.ts';
import { NodeMetrics } from './metrics.ts';
import type { ClusterNodeOptions, ConnectionState } from './node-options.ts';
import { reportsOf } from './passed-positions.ts';
import { Recovery } from './recovery.ts';
import { Places } from './places.ts';
import { partitionFolders } from './replica-folder.ts';
import { ReplicaSet } from './replica-set.ts';
import { Reporter } from './reporter.ts';
import { Resizing } from './resizing.ts';
import { Repeated } from './repeated.ts';

export interface ClusterNodeStatus {
  readonly name: string;
  /** Of the topology that the node acts on; 0n: none yet. */
  readonly epoch: bigint;
  readonly connected: boolean;
  readonly disk: DiskSpace & { readonly level: DiskLevel };
  readonly replicas: readonly ReplicaReport[];
  /** Undefined: it is ready. */
  readonly notReady: string | undefined;
}

export interface ClusterNode {
  /** For the link: it serves the replicas that run here and do not only join. */
  readonly node: LocalNode;
  readonly metrics: Registry;
  status(): ClusterNodeStatus;
  /** Replicas that run here whose logs this node is to archive, now. */
  archiveSources(): readonly ArchiveSource[];
  /** From now on the logs of partitions that were merged away are kept until they are archived to their ends. */
  holdLogs(archived: (partition: number) => bigint | undefined): void;
  /** Which cluster of the name it is of; empty: its topology does not say. Undefined: there is none yet. */
  lineage(): string | undefined;
  /** Answers what waits, stores everything, frees everything. Idempotent: every call resolves when that is done. */
  close(): Promise<void>;
}

/**
 * Resolves as soon as the node looks after its replicas; they open in the background, for as long as it takes.
 * Rejects with `invalid_settings`, `data_locked`, `data_format` or `data_corrupt` where its folder cannot be used.
 */
export async function openClusterNode(options: ClusterNodeOptions): Promise<ClusterNode> {
  checkClusterName(options.cluster);
  checkNodeName(options.name);
  const { cluster, name, engine, dataPath } = options;
  const directory = await openClusterDataDirectory(dataPath, { cluster, node: name, engine });
  try {
    const onNotice = options.onNotice ?? (() => undefined);
    const last = await LastTopology.open(dataPath, onNotice);
    return new FollowingNode({ ...options, onNotice }, directory, last, await partitionFolders(dataPath));
  } catch (error) {
    directory.close();
    throw error;
  }
}

type Options = ClusterNodeOptions & Required<Pick<ClusterNodeOptions, 'onNotice'>>;

class FollowingNode implements ClusterNode {
  readonly node: LocalNode;
  readonly #options: Options;
  readonly #directory: ClusterDataDirectory;
  readonly #boot = randomUUID();
  #archived: ((partition: number) => bigint | undefined) | undefined;
  readonly #metrics = new NodeMetrics();
  readonly #connection: ConnectionState;
  readonly #view: ClusterView;
  readonly #disk: DiskWatch;
  readonly #replicas: ReplicaSet;
  readonly #reshapes: ReshapeSet;
  readonly #resizing: Resizing | undefined;
  readonly #reporter: Reporter;
  readonly #recovery: Recovery;
  readonly #tidying: Repeated;
  readonly #kept: KeptData;
  readonly #leave: () => void;
  #connected: boolean;
  #closing: Promise<void> | undefined;

  /* oxlint-disable-next-line max-params -- what was opened before it */
  constructor(options: Options, directory: ClusterDataDirectory, last: LastTopology, found: readonly number[]) {
    const { version, name, topologyStore, registry, onNotice } = options;
    const time = options.time ?? systemTime;
    this.#options = options;
    this.#directory = directory;
    this.#connection = connectionStateOf(options);
    this.#connected = this.#connection.connected;
    this.node = new LocalNode(version, {
      admission: (command) => this.#admission(command),
      onRefused: (error) => this.#metrics.refused(error),
    });
    const { readDisk: read = readDisk, diskBounds: bounds = defaultDiskBounds } = options;
    const disk = { path: directory.path, read, bounds };
    this.#disk = new DiskWatch({
      ...disk,
      time,
      onLevel: (level, space) => this.#diskChanged(level, space),
      onFailed: (error) => onNotice('the free space of the disk cannot be read', { error: String(error) }),
    });
    this.#view = new ClusterView({
      name,
      topologyStore,
      registry,
      last,
      time,
      onTopology: (topology) => this.#follow(topology),
      onKnown: () => this.#reporter.begin(),
      onNodes: () => this.#compare(),
      onNotice,
    });
    const diskRoom = new DiskRoom(disk);
    const { peers } = this.#view;
    this.#reshapes = new ReshapeSet({
      name,
      time,
      topologyStore,
      logStreams: options.logStreams,
      peers,
      works: options.reshapeWorks ?? { openSplitWork, openMergeWork },
      replicaOf: (partition) => this.#replicas.replicaOf(partition),
      prepareChild: (partition, placement) => this.#replicas.prepare(partition, placement),
      topology: () => this.#view.topology,
      checkRoom: async (bytes) => (await diskRoom.take(bytes)).release(),
      recorder: this.#metrics.reshapes,
      changed: () => this.#reporter.changed(),
      urgent: () => this.#reporter.now(),
      onNotice,
    });
    const { logStreams } = options;
    const { openCoordinator: open = () => new Coordinator({ topologyStore, registry, logStreams, clock: time }) } =
      options;
    this.#resizing = open === null ? undefined : new Resizing({ name, peers, time, open, onNotice });
    this.#replicas = new ReplicaSet(
      {
        options,
        time,
        partitionPath: (partition) => directory.partitionPath(partition),
        node: this.node,
        peers,
        exchange: proofExchangeOf(options),
        recorder: this.#metrics,
        restores: new Places(limits.restoresMax),
        diskRoom,
        reshapes: this.#reshapes,
        diskLevel: () => this.#disk.level,
        connected: () => this.#connection.connected,
        changed: () => this.#changed(),
        onNotice,
        onFatal: (reason) => options.onFatal(reason),
      },
      topologyStore,
      found,
    );
    this.#reporter = new Reporter({
      registry,
      time,
      report: () => this.#report(),
      onFailing: (error) => onNotice('the node cannot report to the cluster', { error: String(error) }),
    });
    this.#recovery = new Recovery({
      node: name,
      replicas: () => this.#replicas.all(),
      peers: this.#view.peers,
      recoverLog:
        options.recoverLog ??
        (async (lost, { signal }) => void (await recoverLog({ ...options, clock: time }, lost, { signal }))),
      time,
      onNotice,
    });
    this.#tidying = new Repeated(time, limits.retentionCheckMs, () => {
      // Until then no replica is wanted, as far as the node knows.
      if (this.#view.known) this.#replicas.tidy();
    });
    this.#kept = new KeptData(directory.path, time, (error) =>
      onNotice('the data that are kept aside cannot be looked at', { error: String(error) }),
    );
    this.#leave = this.#connection.onChange(() => this.#connectionChanged());
    this.#metrics.watch({
      replicas: () => this.#replicas.all(),
      disk: () => this.#disk,
      connected: () => this.#connection.connected,
      epoch: () => this.#view.epoch,
      ready: () => this.#notReady() === undefined,
      kept: () => this.#kept.found,
      reshapes: () => this.#reshapes.reports(),
      under: () => this.#reshapes.reshapes,
    });
    // Last: what it tells reaches everything above.
    this.#disk.start();
    this.#view.start();
  }

  get metrics(): Registry {
    return this.#metrics.registry;
  }

  #follow(topology: Topology): void {
    // First, since it may have to make way for the replicas.
    this.#reshapes.follow(topology);
    this.#replicas.follow(topology);
    this.#resizing?.follow(topology);
    this.#reporter.changed();
  }

  /** Something of a replica is different. */
  #changed(): void {
    this.#reporter?.changed();
    this.#reshapes.wake();
  }

  /** What others report of their replicas, against ours. */
  #compare(): void {
    for (const { running, assignment } of this.#replicas.all()) {
      if (running === undefined || assignment === undefined) continue;
      for (const { live, report, replica } of this.#view.peers.replicasOf(assignment.placement)) {
        // One that does not run says the same again and again.
        if (live && replica.state === 'running') running.sawReport(report.name, replica);
      }
    }
  }

  #connectionChanged(): void {
    const { connected } = this.#connection;
    if (connected === this.#connected) return;
    this.#connected = connected;
    if (connected) this.#metrics.reconnected();
    for (const { running } of this.#replicas.all()) {
      if (connected) void running?.checkEnd();
      else running?.away();
    }
    if (connected) this.#reporter.changed();
  }

  #diskChanged(level: DiskLevel, space: DiskSpace): void {
    this.#options.onNotice('the disk has another level', { level, ...space });
    for (const { running } of this.#replicas.all()) {
      if (level === 'critical') running?.log.hold('disk');
      else running?.log.release('disk');
    }
    this.#reporter.changed();
  }

  #admission(command: Command): StateStoreError | undefined {
    const { level } = this.#disk;
    if (level === 'ample' || (level === 'low' && !mayGrow(command))) return undefined;
    const { freeBytes, totalBytes } = this.#disk.space;
    return new StateStoreError(
      'disk_full',
      `the disk of node ${this.#options.name} has ${freeBytes} of ${totalBytes} bytes left`,
      { retryAfterMs: limits.diskRetryAfterMs, hint: 'delete what is not needed, or give the nodes more disk' },
    );
  }

  #report(): Omit<NodeReport, 'count'> {
    const { name, address, zone, version, draining } = this.#options;
    const { lost } = this.#view;
    const { found: kept } = this.#kept;
    const silence = this.node.checkpoints?.silence;
    const reshapes = this.#reshapes.reports();
    return {
      name,
      address,
      zone,
      version,
      boot: this.#boot,
      epoch: this.#view.epoch.toString(),
      draining: draining ?? false,
      disk: this.#disk.space,
      replicas: this.#reportsOfReplicas(),
      ...(kept.length === 0 ? {} : { kept }),
      ...(reshapes.length === 0 ? {} : { reshapes }),
      ...(silence === undefined ? {} : { repositorySilence: silence }),
      ...(lost === undefined ? {} : { lastTopology: lost }),
    };
  }

  #notReady(): string | undefined {
    if (this.#closing !== undefined) return 'the node is shutting down';
    if (!this.#view.known) return 'the topology is not known yet';
    if (this.#disk.level === 'critical') return 'the disk is nearly full, nothing is applied';
    const not = this.#replicas.all().find((replica) => !replica.ready);
    return not === undefined ? undefined : `the replica of partition ${not.partition} is ${not.state}`;
  }

  status(): ClusterNodeStatus {
    return {
      name: this.#options.name,
      epoch: this.#view.epoch,
      connected: this.#connection.connected,
      disk: { ...this.#disk.space, level: this.#disk.level },
      replicas: this.#replicas.reports(),
      notReady: this.#notReady(),
    };
  }

  archiveSources(): readonly ArchiveSource[] {
    return archiveSourcesOf(this.#replicas.all(), this.#view.latest);
  }

  holdLogs(archived: (partition: number) => bigint | undefined): void {
    this.#archived = archived;
  }

  #reportsOfReplicas(): readonly ReplicaReport[] {
    const archived = this.#archived;
    const topology = this.#view.latest;
    const reports = reportsOf(this.#replicas.all(), this.#view.peers);
    if (archived === undefined || topology?.retired === undefined) return reports;
    const held = heldLogsOf(this.archiveSources(), topology, archived);
    return reports.map((each) => (held.has(each.partition) ? { ...each, holdsLog: true as const } : each));
  }

  lineage(): string | undefined {
    return this.#view.lineage;
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeOnce();
    return this.#closing;
  }

  /** The lock is given back last, and whatever fails: until then nobody else may write to the folder. */
  async #closeOnce(): Promise<void> {
    this.#leave();
    this.#disk.close();
    this.#tidying.close();
    this.#kept.close();
    // They work on the replicas.
    await this.#reshapes.close();
    const ends = await Promise.allSettled([
      this.#resizing?.close(),
      this.#recovery.close(),
      this.#view.close(),
      this.#replicas.close(),
      this.#reporter.close(),
    ]);
    this.#directory.close();
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }
}
