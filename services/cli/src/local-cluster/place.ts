// Where the processes of a local cluster live: all on loopback, or each in a network namespace of its own
// (namespaces.ts).
import { existsSync } from 'node:fs';
import { Ports } from './ports.ts';

export interface Place {
  /** Where the process listens and others reach it. */
  readonly host: string;
  /** A port of that host that is its own from now on. `usual` is taken where nobody else can have it. */
  port(usual: number): Promise<number>;
  /** The command that runs this one there, and ends it when this process dies. It becomes the command: same id. */
  wrap(command: readonly string[]): readonly string[];
}

const setpriv = '/usr/bin/setpriv';

/** Linux ends the process when the one that started it dies, however it dies. Elsewhere: nothing. */
export function diesWithUs(command: readonly string[]): readonly string[] {
  return existsSync(setpriv) ? [setpriv, '--pdeathsig', 'KILL', ...command] : command;
}

const loopbackHost = '127.0.0.1';
const loopbackPorts = new Ports(loopbackHost);

export const loopback: Place = {
  host: loopbackHost,
  port: () => loopbackPorts.take(),
  wrap: diesWithUs,
};
