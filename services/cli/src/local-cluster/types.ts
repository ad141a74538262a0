// What a local cluster is to those who start one (`npm run cluster`, cluster tests, torture, benchmarks):
// real processes that are started, stopped, killed, paused and cut off from each other. Types only;
// local-cluster.ts makes one.

export type ProcessKind = 'nats' | 'node' | 'gateway';

export interface ManagedProcess {
  /** nats-1, node-1, gateway-1 …; a node's is also its name in the topology. */
  readonly name: string;
  readonly kind: ProcessKind;
  /** nats://host:port, host:port of a node's link, or http://host:port. The same over restarts. */
  readonly url: string;
  /** http://host:port/metrics; of NATS the base URL of its monitoring, without a path. */
  readonly metricsUrl: string;
  /** Undefined where it does not run. */
  readonly pid: number | undefined;
  /** What it printed, every run so far, the newest last. */
  readonly logPath: string;
  /** Undefined for a gateway. */
  readonly dataPath: string | undefined;
  readonly running: boolean;
  readonly paused: boolean;
  /** How often it ended without having been asked to. */
  readonly exits: number;
  /**
   * Resolves when it is up: it accepts connections. Whether it can serve already is for `ready` of the cluster.
   * Where it runs already, it is waited for. Rejects where it ends before it was ever up, or takes too long.
   */
  start(): Promise<void>;
  /** SIGTERM; resolves when it is gone. One that does not go is killed after a while, and this rejects. */
  stop(): Promise<void>;
  /** SIGKILL: no handler runs. Resolves when it is gone. Nothing where it does not run. */
  kill(): Promise<void>;
  /** SIGSTOP. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
}

/** Only with namespaces: every process has an address of its own. */
export interface Network {
  /**
   * Packets of `from` no longer reach `to` (`one-way`), nor those of `to` reach `from` (`both`). They are
   * dropped silently, as by a broken switch: connections stay open until somebody's timeout.
   */
  cut(from: ManagedProcess, to: ManagedProcess, direction: 'both' | 'one-way'): Promise<void>;
  /** Undoes every cut. */
  heal(): Promise<void>;
}

export interface CommandOutput {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface LocalCluster {
  readonly folder: string;
  /** Of the cluster, as in `--cluster`. */
  readonly name: string;
  readonly natsUrls: readonly string[];
  readonly nats: readonly ManagedProcess[];
  readonly nodes: readonly ManagedProcess[];
  readonly gateways: readonly ManagedProcess[];
  /** All of them: NATS first, gateways last. */
  readonly processes: readonly ManagedProcess[];
  readonly network: Network | undefined;
  /** Resolves when every gateway answers that every partition is served. Rejects after a while, saying what is missing. */
  ready(timeoutMs?: number): Promise<void>;
  addNode(): Promise<ManagedProcess>;
  addGateway(): Promise<ManagedProcess>;
  /** Runs `statestore <args>` with the NATS servers and the name of this cluster. */
  statestore(args: readonly string[], timeoutMs?: number): Promise<CommandOutput>;
  /** Ends everything that it started, gateways first, and takes its namespaces and mounts away. Twice is once. */
  close(): Promise<void>;
}

export interface ClusterEvent {
  readonly process: ManagedProcess;
  /** `exited`: without having been asked to. */
  readonly what: 'started' | 'exited' | 'stopped' | 'killed' | 'restarting';
  /** Exit code or signal, for `exited`. */
  readonly how?: string;
}

/** `low`: writes are refused below. `critical`, which is less: nothing is applied below. */
export interface DiskPercent {
  readonly low: number;
  readonly critical: number;
}

export interface LocalClusterOptions {
  /** Data and logs; one that has data goes on with it. Default: a temporary one, which `close` removes. */
  readonly folder?: string;
  /** Default: demo. */
  readonly name?: string;
  /** Default: 3. 0: `natsUrls` are used. */
  readonly natsServers?: 3 | 1 | 0;
  readonly natsUrls?: readonly string[];
  /** Default: 3. */
  readonly nodes?: number;
  /** Default: 1. */
  readonly gateways?: number;
  /** Default: 4. */
  readonly partitions?: number;
  /** Of each partition, on nodes. Default: 3, or the number of nodes where there are fewer. */
  readonly replicas?: number;
  /** Default: lmdb. */
  readonly engine?: 'lmdb' | 'memory';
  /** Default: loopback. namespaces: Linux, root, iproute2. */
  readonly network?: 'loopback' | 'namespaces';
  /** Of JetStream, as in nats-server's configuration. Default: always. */
  readonly syncInterval?: 'always' | `${number}${'ms' | 's' | 'm'}`;
  /** A process that ends on its own is started again, as Kubernetes would. Default: true. */
  readonly restart?: boolean;
  /** Whether the topology is made. Default: true; false leaves `statestore init` to the caller. */
  readonly init?: boolean;
  /** Flags of node itself for nodes and gateways, for instance --cpu-prof. */
  readonly nodeFlags?: readonly string[];
  /** Further arguments of `statestore node`. */
  readonly nodeArgs?: readonly string[];
  /** Further arguments of `statestore gateway`. */
  readonly gatewayArgs?: readonly string[];
  /** Port of the first gateway on loopback. Default: a free one. */
  readonly gatewayPort?: number;
  /** Size of a file system of its own for the data of a process, so that it can be filled. Linux, root. */
  readonly dataTmpfsBytes?: (name: string, kind: ProcessKind) => number | undefined;
  /** When a node takes its disk for full, by name; free shares in percent. Default: as a node does by itself. */
  readonly diskPercent?: (node: string) => DiskPercent | undefined;
  /** How far the wall clock of a process is off; of a nats-server in whole seconds. Its monotonic clock stays right. */
  readonly clockShiftMs?: (name: string, kind: ProcessKind) => number | undefined;
  readonly onEvent?: (event: ClusterEvent) => void;
  /** Aborted: the start is given up and everything is closed. */
  readonly signal?: AbortSignal;
}
