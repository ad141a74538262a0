// The link between a gateway and a node in the simulated world: it takes time, breaks with the node's
// process, goes silent with it or on its own, is cut after a silence, and comes back.
import type { BinaryString, Command } from '@statestore/core';
import { limits, StateStoreError } from '@statestore/core';
import type { FoundMany, NodeService, Proposed, ReadOptions } from '@statestore/link';
import type { NodeLink } from '../../services/gateway/src/cluster/member.ts';
import type { Profile } from './profile.ts';
import type { SimNode } from './sim-node.ts';
import type { World } from './world.ts';

const reconnectMsMax = 500;

export class SimLink implements Partial<NodeService> {
  readonly #world: World;
  readonly #profile: Profile;
  readonly #node: SimNode;
  readonly #onChange: () => void;
  readonly #lost = new Set<() => void>();
  readonly #unlisten: () => void;
  #open = false;
  #closed = false;
  /** The network passes nothing before. */
  #blackUntilMs = 0;
  #mutedSinceMs: number | undefined;
  #connecting = false;

  constructor(world: World, profile: Profile, node: SimNode, onChange: () => void) {
    this.#world = world;
    this.#profile = profile;
    this.#node = node;
    this.#onChange = onChange;
    const look = (): void => this.#look();
    node.listeners.add(look);
    this.#unlisten = () => node.listeners.delete(look);
    this.#look();
  }

  get openConnections(): number {
    return this.#open ? 2 : 0;
  }

  get inFlight(): number {
    return this.#lost.size;
  }

  get silentMs(): number {
    return this.#open && this.#mutedSinceMs !== undefined && this.#mute ? this.#world.nowMs - this.#mutedSinceMs : 0;
  }

  get #mute(): boolean {
    return this.#node.frozen || this.#blackUntilMs > this.#world.nowMs;
  }

  /** The network loses everything on this link for a while. */
  blackOut(forMs: number): void {
    this.#blackUntilMs = this.#world.nowMs + forMs;
    this.#look();
  }

  /** Something happened to the node or the network. */
  #look(): void {
    if (this.#closed) return;
    if (!this.#node.life.alive) this.#break();
    else if (!this.#open) this.#connect();
    else if (!this.#mute) this.#mutedSinceMs = undefined;
    else if (this.#mutedSinceMs === undefined) {
      this.#mutedSinceMs = this.#world.nowMs;
      this.#world.after(limits.gatewayCutMs, undefined, () => {
        if (this.silentMs >= limits.gatewayCutMs) this.#break();
        this.#look();
      });
    }
  }

  #break(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#mutedSinceMs = undefined;
    for (const lose of this.#lost) lose();
    this.#lost.clear();
    this.#onChange();
    this.#look();
  }

  #connect(): void {
    if (this.#connecting) return;
    this.#connecting = true;
    this.#world.after(this.#world.between(1, reconnectMsMax), undefined, () => {
      this.#connecting = false;
      if (this.#closed || this.#open || !this.#node.life.alive) return;
      if (this.#mute) return this.#connect();
      this.#open = true;
      this.#mutedSinceMs = undefined;
      this.#onChange();
    });
  }

  propose(_partition: number, command: Command): Promise<Proposed> {
    return this.#ask('outcome_unknown', async () => {
      const { result, position } = await this.#node.propose(command);
      return { ...result, position };
    });
  }

  getMany(_partition: number, store: string, keys: readonly BinaryString[], options: ReadOptions): Promise<FoundMany> {
    return this.#ask('unavailable', () => this.#node.readMany(store, keys, options));
  }

  #ask<T>(ifLost: 'outcome_unknown' | 'unavailable', run: () => Promise<T>): Promise<T> {
    if (!this.#open) return Promise.reject(new StateStoreError('unavailable', `no link to ${this.#node.name}`));
    return new Promise((resolve, reject) => {
      const lose = (): void => reject(new StateStoreError(ifLost, `the link to ${this.#node.name} broke`));
      this.#lost.add(lose);
      const answer = (settle: () => void): void =>
        this.#travel(() => {
          this.#lost.delete(lose);
          settle();
        });
      // On its way it is the network's: it arrives although the link may be broken by then.
      this.#travel(() => {
        this.#world.after(0, this.#node.life, () => {
          run().then(
            (value) => answer(() => resolve(value)),
            (error: unknown) => answer(() => reject(error)),
          );
        });
      });
    });
  }

  #travel(arrive: () => void): void {
    const wait = Math.max(0, this.#blackUntilMs - this.#world.nowMs);
    this.#world.after(wait + this.#world.between(0, this.#profile.networkDelayMs), undefined, arrive);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#open = false;
    this.#unlisten();
    for (const lose of this.#lost) lose();
    this.#lost.clear();
  }
}

/** As the routing takes it: nothing else of a node is asked in the simulation. */
export function asNodeLink(link: SimLink): NodeLink {
  return link as unknown as NodeLink;
}
