// A repository that fails, or never answers for objects of a prefix, for as long as a test wants it to.
import type { ObjectInfo, ObjectName, Repository, RepositoryCall } from '@statestore/checkpoint';

export class RepositorySwitch implements Repository {
  readonly kind: Repository['kind'];
  readonly location: string;
  readonly #inner: Repository;
  #failure: Error | undefined;
  #held: { readonly prefix: string; readonly over: PromiseWithResolvers<void> } | undefined;

  constructor(inner: Repository) {
    this.#inner = inner;
    this.kind = inner.kind;
    this.location = inner.location;
  }

  fail(failure: Error): void {
    this.#failure = failure;
  }

  hold(prefix: string): void {
    this.#held = { prefix, over: Promise.withResolvers() };
  }

  heal(): void {
    this.#failure = undefined;
    this.#held?.over.resolve();
    this.#held = undefined;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  async probe(): Promise<void> {
    this.#check();
    await this.#inner.probe();
  }

  async get(name: ObjectName, call?: RepositoryCall): Promise<Uint8Array | undefined> {
    this.#check();
    const held = this.#held;
    if (held !== undefined && name.startsWith(held.prefix)) {
      call?.signal?.throwIfAborted();
      const stop = Promise.withResolvers<never>();
      call?.signal?.addEventListener('abort', () => stop.reject(call.signal!.reason as Error), { once: true });
      await Promise.race([held.over.promise, stop.promise]);
    }
    return this.#inner.get(name, call);
  }

  async head(name: ObjectName, call?: RepositoryCall): Promise<ObjectInfo | undefined> {
    this.#check();
    return this.#inner.head(name, call);
  }

  async put(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<void> {
    this.#check();
    await this.#inner.put(name, bytes, call);
  }

  async create(name: ObjectName, bytes: Uint8Array, call?: RepositoryCall): Promise<'created' | 'exists'> {
    this.#check();
    return this.#inner.create(name, bytes, call);
  }

  async *list(prefix: string, call?: RepositoryCall): AsyncIterable<ObjectInfo> {
    this.#check();
    yield* this.#inner.list(prefix, call);
  }

  async remove(names: readonly ObjectName[], call?: RepositoryCall): Promise<void> {
    this.#check();
    await this.#inner.remove(names, call);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
