// Starts a local cluster: real nats-servers, nodes and gateways, on loopback or in network namespaces. How one
// process is run: managed.ts; where it lives: place.ts; what it is: nats-process.ts, statestore-process.ts.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterFolder } from './cluster-folder.ts';
import { openClusterFolder } from './cluster-folder.ts';
import type { ProcessSpec } from './managed.ts';
import { Managed } from './managed.ts';
import type { Namespaces } from './namespaces.ts';
import { openNamespaces } from './namespaces.ts';
import { natsProcesses } from './nats-process.ts';
import type { Place } from './place.ts';
import { loopback } from './place.ts';
import { httpGet } from './probe.ts';
import type { SmallDisk } from './small-disk.ts';
import { mountSmallDisk } from './small-disk.ts';
import type { Membership } from './statestore-process.ts';
import { gatewayProcess, nodeProcess, optionsOf, runStatestore } from './statestore-process.ts';
import type {
  CommandOutput,
  LocalCluster,
  LocalClusterOptions,
  ManagedProcess,
  Network,
  ProcessKind,
} from './types.ts';

const readyTimeoutMs = 120_000;
const commandTimeoutMs = 120_000;
const pollMs = 50;

/** Resolves when every process is up and, unless told otherwise, the topology is made. */
export async function startLocalCluster(options: LocalClusterOptions = {}): Promise<LocalCluster> {
  const { natsServers = 3, natsUrls, nodes = 3, gateways = 1, name = 'demo' } = options;
  if ((natsServers === 0) !== (natsUrls !== undefined)) {
    throw new Error('natsUrls are needed with natsServers 0, and only then');
  }
  const folder = await openClusterFolder(options.folder, { name, natsServers, nodes, gateways });
  let namespaces: Namespaces | undefined;
  try {
    namespaces = options.network === 'namespaces' ? await openNamespaces() : undefined;
  } catch (error) {
    await folder.close();
    throw error;
  }
  const cluster = new ProcessCluster(options, folder, namespaces);
  // What fails there fails in the close below as well.
  const giveUp = (): void => void cluster.close().catch(() => {});
  options.signal?.addEventListener('abort', giveUp, { once: true });
  try {
    options.signal?.throwIfAborted();
    await cluster.start();
    options.signal?.removeEventListener('abort', giveUp);
    return cluster;
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

class ProcessCluster implements LocalCluster {
  readonly folder: string;
  readonly name: string;
  readonly network: Network | undefined;
  readonly nats: Managed[] = [];
  readonly nodes: Managed[] = [];
  readonly gateways: Managed[] = [];
  readonly #options: LocalClusterOptions;
  readonly #folder: ClusterFolder;
  readonly #namespaces: Namespaces | undefined;
  readonly #disks: SmallDisk[] = [];
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: LocalClusterOptions, folder: ClusterFolder, namespaces: Namespaces | undefined) {
    this.#options = options;
    this.#folder = folder;
    this.#namespaces = namespaces;
    this.folder = folder.path;
    this.name = folder.description.name;
    this.network = namespaces?.network;
  }

  get natsUrls(): readonly string[] {
    return this.#options.natsUrls ?? this.nats.map(({ url }) => url);
  }

  get processes(): readonly Managed[] {
    return [...this.nats, ...this.nodes, ...this.gateways];
  }

  async start(): Promise<void> {
    const { description } = this.#folder;
    await this.#makeNats(description.natsServers);
    for (let i = 0; i < description.nodes; i++) await this.#makeNode();
    for (let i = 0; i < description.gateways; i++) await this.#makeGateway();
    await this.#startAll(this.nats);
    await this.#startAll([...this.nodes, ...this.gateways]);
    if (description.initialised || this.#options.init === false) return;
    await this.#initialise();
  }

  async #initialise(): Promise<void> {
    const { partitions = 4, replicas = Math.min(3, this.nodes.length) } = this.#options;
    const settings = { partitions, replicas, 'wait-nodes': this.nodes.length };
    const made = await this.statestore(['init', ...optionsOf(settings)]);
    if (made.code !== 0) throw new Error(`statestore init ended with ${made.code}:\n${made.stdout}${made.stderr}`);
    await this.#folder.describe({ initialised: true });
  }

  async ready(timeoutMs = readyTimeoutMs): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (const gateway of this.gateways.filter(({ running }) => running)) {
      let answer = await httpGet(`${gateway.url}/readyz`);
      while (answer?.status !== 200) {
        if (performance.now() > deadline) {
          const said = answer === undefined ? 'does not answer' : `answers ${answer.status}: ${answer.body}`;
          throw new Error(`the cluster was not ready within ${timeoutMs} ms: ${gateway.name} ${said}`);
        }
        await sleep(pollMs);
        answer = await httpGet(`${gateway.url}/readyz`);
      }
    }
  }

  async addNode(): Promise<ManagedProcess> {
    const node = await this.#makeNode();
    await this.#folder.describe({ nodes: this.nodes.length });
    return this.#started(node);
  }

  async addGateway(): Promise<ManagedProcess> {
    const gateway = await this.#makeGateway();
    await this.#folder.describe({ gateways: this.gateways.length });
    return this.#started(gateway);
  }

  async #started(process: Managed): Promise<ManagedProcess> {
    await this.#startAll([process]);
    return process;
  }

  /** Not after `close`, which ends what it finds. */
  async #startAll(processes: readonly Managed[]): Promise<void> {
    this.#closing.signal.throwIfAborted();
    await Promise.all(processes.map((process) => process.start()));
    this.#closing.signal.throwIfAborted();
  }

  statestore(args: readonly string[], timeoutMs = commandTimeoutMs): Promise<CommandOutput> {
    return runStatestore(
      args,
      this.#membership,
      AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]),
    );
  }

  close(): Promise<void> {
    this.#closing.abort(new Error('the local cluster was closed'));
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (work: Promise<void>): Promise<void> => {
      await work.catch((error: unknown) => failures.push(error));
    };
    for (const group of [this.gateways, this.nodes, this.nats]) {
      await Promise.all(group.map((process) => attempt(process.stop())));
    }
    for (const disk of this.#disks) await attempt(disk.remove());
    if (this.#namespaces !== undefined) await attempt(this.#namespaces.close());
    await attempt(this.#folder.close());
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join('\n'));
  }

  get #membership(): Membership {
    const { natsUrls, name: cluster } = this;
    return { natsUrls, cluster, logReplicas: natsUrls.length < 3 ? 1 : 3 };
  }

  async #makeNats(count: number): Promise<void> {
    if (count === 0) return;
    const members = [];
    for (let i = 1; i <= count; i++) {
      const name = `nats-${i}`;
      const dataPath = await this.#data(name, 'nats');
      const clockShiftMs = this.#options.clockShiftMs?.(name, 'nats');
      members.push({ name, place: await this.#place(), dataPath, logPath: this.#folder.logOf(name), clockShiftMs });
    }
    const specs = await natsProcesses(members, {
      cluster: this.name,
      syncInterval: this.#options.syncInterval ?? 'always',
    });
    for (const spec of specs) this.nats.push(this.#managed(spec));
  }

  async #makeNode(): Promise<Managed> {
    const number = this.nodes.length + 1;
    const name = `node-${number}`;
    const node = this.#managed(
      await nodeProcess({
        ...(await this.#statestoreOptions(name, 'node')),
        args: this.#options.nodeArgs ?? [],
        dataPath: await this.#data(name, 'node'),
        zone: `zone-${number}`,
        engine: this.#options.engine ?? 'lmdb',
        diskPercent: this.#options.diskPercent?.(name),
      }),
    );
    this.nodes.push(node);
    return node;
  }

  async #makeGateway(): Promise<Managed> {
    const number = this.gateways.length + 1;
    const gateway = this.#managed(
      await gatewayProcess({
        ...(await this.#statestoreOptions(`gateway-${number}`, 'gateway')),
        args: this.#options.gatewayArgs ?? [],
        port: number === 1 && this.#namespaces === undefined ? this.#options.gatewayPort : undefined,
      }),
    );
    this.gateways.push(gateway);
    return gateway;
  }

  async #statestoreOptions(name: string, kind: ProcessKind) {
    return {
      name,
      place: await this.#place(),
      logPath: this.#folder.logOf(name),
      membership: this.#membership,
      nodeFlags: this.#options.nodeFlags ?? [],
      clockShiftMs: this.#options.clockShiftMs?.(name, kind),
    };
  }

  #place(): Promise<Place> {
    return this.#namespaces?.add() ?? Promise.resolve(loopback);
  }

  async #data(name: string, kind: ProcessKind): Promise<string> {
    const path = join(await this.#folder.dataOf(name), 'data');
    const sizeBytes = this.#options.dataTmpfsBytes?.(name, kind);
    if (sizeBytes !== undefined) this.#disks.push(await mountSmallDisk(path, sizeBytes));
    return path;
  }

  #managed(spec: Omit<ProcessSpec, 'restart' | 'onEvent'> & { readonly place: Place }): Managed {
    const { restart = true, onEvent = () => {} } = this.#options;
    const managed = new Managed({ ...spec, restart, onEvent });
    this.#namespaces?.put(managed, spec.place);
    return managed;
  }
}
