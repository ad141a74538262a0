// A resize that goes on, looked at again and again: how far it is, when it will be done, and what it waits for.
import { ClusterObserver } from '../cluster/observer.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import type { ClusterConnection } from '../cluster/connect.ts';
import { ResizePace } from '@statestore/cluster';

export interface ResizeLook {
  readonly view: ClusterView;
  /** Undefined: not known yet, or nothing is under way. */
  readonly remainingMs: number | undefined;
}

export class ResizeWatch {
  readonly #observer: ClusterObserver;
  readonly #pace = new ResizePace();

  private constructor(observer: ClusterObserver) {
    this.#observer = observer;
  }

  static async open(connection: ClusterConnection): Promise<ResizeWatch> {
    return new ResizeWatch(await ClusterObserver.open(connection));
  }

  get epoch(): bigint | undefined {
    return this.#observer.topology?.epoch;
  }

  /** Resolves when it is known which nodes are live. */
  async settled(pause: (ms: number) => Promise<void>): Promise<void> {
    await this.#observer.settled(pause);
  }

  /** `waitsFor`: what whoever coordinates waits for; told where nothing is under way. */
  look(waitsFor?: string): ResizeLook {
    const { view } = this.#observer;
    const { resize } = view;
    if (resize === undefined) return { view, remainingMs: undefined };
    const remainingMs = this.#pace.remainingMs(resize.slotsLeft, performance.now());
    if (waitsFor === undefined || resize.reshapes.length > 0) return { view, remainingMs };
    return { view: { ...view, resize: { ...resize, waits: [...resize.waits, waitsFor] } }, remainingMs };
  }

  close(): Promise<void> {
    return this.#observer.close();
  }
}

/** The same for scripts. `expectedAt`: by the clock of this machine. */
export function jsonOf({ view, remainingMs }: ResizeLook, nowMs: number, indent?: number): string {
  const { cluster, epoch, resize, retired, partitions, problems } = view;
  const end =
    remainingMs === undefined
      ? {}
      : { remainingMs: Math.round(remainingMs), expectedAt: new Date(nowMs + remainingMs) };
  const document = { cluster, epoch, ...(resize && { resize: { ...resize, ...end } }), retired, partitions, problems };
  return JSON.stringify(document, undefined, indent);
}
