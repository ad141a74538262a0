// Nodes, gateways and commands of a local cluster: the real `statestore`, with the settings that make it part
// of that cluster.
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ProcessSpec } from './managed.ts';
import type { Place } from './place.ts';
import { httpGet } from './probe.ts';
import type { CommandOutput, DiskPercent } from './types.ts';

const launcher = fileURLToPath(new URL('../../statestore', import.meta.url));
const clockShift = new URL('clock-shift.ts', import.meta.url).href;

export interface Membership {
  readonly natsUrls: readonly string[];
  readonly cluster: string;
  /** Copies inside NATS. */
  readonly logReplicas: number;
}

export interface StatestoreProcessOptions {
  readonly name: string;
  readonly place: Place;
  readonly logPath: string;
  readonly membership: Membership;
  /** Flags of node itself. */
  readonly nodeFlags: readonly string[];
  readonly clockShiftMs: number | undefined;
  /** Further arguments of the command. */
  readonly args: readonly string[];
}

type StatestoreProcess = Omit<ProcessSpec, 'restart' | 'onEvent'> & { readonly place: Place };

export async function nodeProcess(
  options: StatestoreProcessOptions & {
    readonly dataPath: string;
    readonly zone: string;
    readonly engine: string;
    readonly diskPercent: DiskPercent | undefined;
  },
): Promise<StatestoreProcess> {
  const { name, place, dataPath, zone, engine, diskPercent } = options;
  const [port, metricsPort] = [await place.port(7070), await place.port(9090)];
  const metrics = `http://${place.host}:${metricsPort}`;
  const settings = {
    name,
    zone,
    host: place.host,
    port,
    advertise: `${place.host}:${port}`,
    'metrics-host': place.host,
    'metrics-port': metricsPort,
    data: dataPath,
    engine,
    ...(diskPercent && { 'disk-low-percent': diskPercent.low, 'disk-critical-percent': diskPercent.critical }),
  };
  return {
    ...common(options, 'node', settings),
    kind: 'node',
    url: `${place.host}:${port}`,
    metricsUrl: `${metrics}/metrics`,
    dataPath,
    isUp: async () => (await httpGet(`${metrics}/healthz`))?.status === 200,
  };
}

export async function gatewayProcess(
  options: StatestoreProcessOptions & { readonly port: number | undefined },
): Promise<StatestoreProcess> {
  const { place } = options;
  const port = options.port ?? (await place.port(8080));
  const url = `http://${place.host}:${port}`;
  return {
    ...common(options, 'gateway', { host: place.host, port }),
    kind: 'gateway',
    url,
    metricsUrl: `${url}/metrics`,
    dataPath: undefined,
    isUp: async () => (await httpGet(`${url}/healthz`))?.status === 200,
  };
}

function common(
  { name, place, logPath, membership, nodeFlags, clockShiftMs, args }: StatestoreProcessOptions,
  command: 'node' | 'gateway',
  settings: Readonly<Record<string, string | number>>,
) {
  const flags = clockShiftMs === undefined ? nodeFlags : [`--import=${clockShift}?ms=${clockShiftMs}`, ...nodeFlags];
  return {
    name,
    place,
    logPath,
    command: place.wrap([launcher, command, ...optionsOf({ ...membershipSettings(membership), ...settings }), ...args]),
    env: { ...environment(), NODE_FLAGS: flags.join(' ') },
  };
}

function membershipSettings({ natsUrls, cluster, logReplicas }: Membership) {
  return { nats: natsUrls.join(','), cluster, 'log-replicas': logReplicas };
}

export function optionsOf(settings: Readonly<Record<string, string | number>>): string[] {
  return Object.entries(settings).flatMap(([option, value]) => [`--${option}`, `${value}`]);
}

/** Without the settings of whoever runs us: they would become those of each process. */
function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('STATESTORE_'));
  return {
    // Compiling the sources again at each start would be half of a start.
    NODE_COMPILE_CACHE: join(tmpdir(), 'statestore-compile-cache'),
    ...Object.fromEntries(inherited),
    NODE_ENV: 'production',
  };
}

/** Runs a command of the cluster to its end. Rejects where it cannot be run or `signal` ends it. */
export function runStatestore(
  args: readonly string[],
  membership: Membership,
  signal: AbortSignal,
): Promise<CommandOutput> {
  // After the words that name it, and before the options that may say otherwise.
  const options = args.findIndex((each) => each.startsWith('-'));
  const at = options === -1 ? args.length : options;
  const [command = ''] = args;
  const all = [...args.slice(0, at), ...optionsOf(membershipSettings(membership)), ...args.slice(at)];
  return new Promise((resolve, reject) => {
    execFile(
      launcher,
      all,
      { env: environment(), signal, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error === null) resolve({ code: 0, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else {
          const said = `${stdout}${stderr}`;
          reject(new Error(`statestore ${command} was ended: ${error.message}\n${said}`, { cause: error }));
        }
      },
    );
  });
}
