// A repository of which a test says how it creates objects: slowly, or not at all.
import type { Repository } from '@statestore/checkpoint';

export function withCreate(repository: Repository, create: Repository['create']): Repository {
  return {
    kind: repository.kind,
    location: repository.location,
    probe: (call) => repository.probe(call),
    get: (name, call) => repository.get(name, call),
    head: (name, call) => repository.head(name, call),
    put: (name, bytes, call) => repository.put(name, bytes, call),
    create,
    list: (prefix, call) => repository.list(prefix, call),
    remove: (names, call) => repository.remove(names, call),
    close: () => repository.close(),
  };
}
