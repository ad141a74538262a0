// A network of its own for each process of a local cluster, joined by a bridge, so that any two can be cut off
// from each other. Linux, root and iproute2; no packet filter:
//
//   <tag>-switch   the bridge, in a namespace of its own, so that no packet filter of the machine sees it
//   <tag>-1 …      one for each process: eth0, 198.18.N.11 …
//   ssN            in the root namespace, 198.18.N.1: the way of the test process into the bridge
//
// Everybody's hardware addresses are set by hand. A cut gives `from` a wrong one for `to`: its packets leave
// and nobody takes them, while the other direction goes on. Nobody is told, as with a broken switch.
import { existsSync, readdirSync } from 'node:fs';
import { run } from './command.ts';
import { isLeftover, ownerTag } from './owner.ts';
import type { Place } from './place.ts';
import { diesWithUs } from './place.ts';
import type { ManagedProcess, Network } from './types.ts';

const folder = '/run/netns';
/** 198.18.0.0/15 is for measuring networks (RFC 2544): no real network has it. */
const subnet = (network: number): string => `198.18.${network}`;
const networksMax = 250;
const firstHost = 11;
const hostsMax = 200;

export interface Namespaces {
  readonly network: Network;
  /** A place for one more process. */
  add(): Promise<Place>;
  /** Which process is there, for `cut`. */
  put(process: ManagedProcess, place: Place): void;
  close(): Promise<void>;
}

let made = 0;

/** Throws an Error that says what is missing. */
export async function openNamespaces(): Promise<Namespaces> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new Error('network namespaces need Linux and root');
  }
  await removeLeftovers();
  const tag = `${ownerTag()}-${++made}`;
  const hub = `${tag}-switch`;
  await run('ip', ['netns', 'add', hub]);
  try {
    await ip(hub, 'link add bridge type bridge');
    await ip(hub, 'link set bridge up');
    const network = await joinRoot(hub);
    return new BridgedNamespaces(tag, hub, network);
  } catch (error) {
    await run('ip', ['netns', 'delete', hub]);
    throw error;
  }
}

/** In the namespace; words are separated by spaces. */
function ip(namespace: string, words: string): Promise<string> {
  return run('ip', ['-netns', namespace, ...words.split(' ')]);
}

/** Gives the root namespace an address on the bridge. Whoever makes the link ssN has the network N. */
async function joinRoot(hub: string): Promise<number> {
  const taken = await run('ip', ['-brief', 'address']);
  for (let attempt = 0; attempt < networksMax; attempt++) {
    const network = 1 + Math.floor(Math.random() * networksMax);
    if (taken.includes(`${subnet(network)}.`)) continue;
    try {
      await run('ip', `link add ss${network} type veth peer name root netns ${hub}`.split(' '));
    } catch {
      continue;
    }
    await ip(hub, 'link set root master bridge up');
    await run('ip', `address add ${subnet(network)}.1/24 dev ss${network}`.split(' '));
    await run('ip', `link set ss${network} up`.split(' '));
    return network;
  }
  throw new Error(`no network of ${subnet(0)} to ${networksMax} is free`);
}

/** Namespaces of processes that are gone. What was in them goes with them. */
async function removeLeftovers(): Promise<void> {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  for (const name of names.filter(isLeftover)) {
    // Somebody else may remove it at the same time.
    await run('ip', ['netns', 'delete', name]).catch(() => {});
  }
}

interface Member {
  readonly namespace: string;
  readonly address: string;
  readonly hardware: string;
}

class BridgedNamespaces implements Namespaces {
  readonly network: Network;
  readonly #tag: string;
  readonly #hub: string;
  readonly #number: number;
  readonly #members: Member[] = [];
  readonly #memberOf = new Map<ManagedProcess, Member>();
  readonly #places = new Map<Place, Member>();
  #closed: Promise<void> | undefined;

  constructor(tag: string, hub: string, network: number) {
    this.#tag = tag;
    this.#hub = hub;
    this.#number = network;
    this.network = {
      cut: (from, to, direction) => this.#cut(from, to, direction),
      heal: () => this.#heal(),
    };
  }

  async add(): Promise<Place> {
    const index = this.#members.length + 1;
    if (index > hostsMax) throw new Error(`a local cluster has at most ${hostsMax} processes in namespaces`);
    const member: Member = {
      namespace: `${this.#tag}-${index}`,
      address: `${subnet(this.#number)}.${firstHost + index - 1}`,
      hardware: hardwareAddress(this.#number, index),
    };
    this.#members.push(member);
    const { namespace, address, hardware } = member;
    await run('ip', ['netns', 'add', namespace]);
    const pair = `link add eth0 netns ${namespace} address ${hardware} type veth peer name port${index} netns ${this.#hub}`;
    await run('ip', pair.split(' '));
    await ip(this.#hub, `link set port${index} master bridge up`);
    await ip(namespace, 'link set lo up');
    await ip(namespace, `address add ${address}/24 dev eth0`);
    await ip(namespace, 'link set eth0 up');
    const earlier = this.#members.slice(0, -1);
    await Promise.all(earlier.flatMap((other) => [knows(member, other), knows(other, member)]));
    const place: Place = {
      host: address,
      port: (usual) => Promise.resolve(usual),
      wrap: (command) => ['nsenter', `--net=${folder}/${namespace}`, '--', ...diesWithUs(command)],
    };
    this.#places.set(place, member);
    return place;
  }

  put(process: ManagedProcess, place: Place): void {
    const member = this.#places.get(place);
    if (member !== undefined) this.#memberOf.set(process, member);
  }

  async #cut(from: ManagedProcess, to: ManagedProcess, direction: 'both' | 'one-way'): Promise<void> {
    const [a, b] = [this.#member(from), this.#member(to)];
    if (a === b) return;
    await knows(a, b, nobody);
    if (direction === 'both') await knows(b, a, nobody);
  }

  async #heal(): Promise<void> {
    const pairs = this.#members.flatMap((a) => this.#members.filter((b) => b !== a).map((b) => [a, b] as const));
    await Promise.all(pairs.map(([a, b]) => knows(a, b)));
  }

  #member(process: ManagedProcess): Member {
    const member = this.#memberOf.get(process);
    if (member === undefined) throw new Error(`${process.name} is not a process of this cluster`);
    return member;
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      // Namespaces end when the last socket in them is gone, which can take a while: the link by hand.
      await run('ip', ['link', 'delete', `ss${this.#number}`]);
      for (const { namespace } of this.#members) await run('ip', ['netns', 'delete', namespace]);
      await run('ip', ['netns', 'delete', this.#hub]);
    })();
    return this.#closed;
  }
}

/** A hardware address that no link has. */
const nobody = '02:53:53:ff:ff:ff';

/** Locally administered; unique on the bridge. */
function hardwareAddress(network: number, index: number): string {
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  return `02:53:53:00:${hex(network)}:${hex(index)}`;
}

/** Tells `member` where `other` is. */
async function knows(member: Member, other: Member, hardware = other.hardware): Promise<void> {
  await ip(member.namespace, `neighbour replace ${other.address} lladdr ${hardware} dev eth0 nud permanent`);
}
