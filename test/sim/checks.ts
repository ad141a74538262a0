// What must hold of every history. The log is replayed through the naive model, which knows the order
// of all effects; what clients were told is held against that, and against itself.
import type { CommandResult } from '@statestore/core';
import { binaryFromBytes, decodeBatch, hashToHex } from '@statestore/core';
import type { LogRecord } from '@statestore/node';
import type { HistoryRecord, ReadRecord, WriteRecord } from './history.ts';
import { identityOf } from './history.ts';
import { Model } from './model.ts';
import { Replica } from './replica.ts';
import type { Claim } from './sim-node.ts';
import { accountKeys, counterKeys, leaseKeys, mainStore, registerKeys, tokenKeys } from './workload.ts';

/** A key's value from one revision to the next. */
interface Version {
  /** Of the entry; of the deletion where it is absent; 0 before the first write. */
  readonly revision: bigint;
  readonly value: string | undefined;
}

interface Replay {
  readonly model: Model;
  readonly replica: Replica;
  /** Every result that a command got, under each of its identities. */
  readonly results: ReadonlyMap<string, readonly CommandResult[]>;
  /** By key of the main store, in the order of the log. */
  readonly versions: ReadonlyMap<string, readonly Version[]>;
  readonly hashes: readonly { readonly chain: string; readonly stateHash: string }[];
}

function replay(log: readonly LogRecord[]): Replay {
  const model = new Model();
  const replica = new Replica();
  const results = new Map<string, CommandResult[]>();
  const versions = new Map<string, Version[]>();
  const hashes: { chain: string; stateHash: string }[] = [];
  for (const { position, timestampNanos, bytes } of log) {
    const { commands } = decodeBatch(bytes);
    const outcomes = model.applyBatch(position, timestampNanos, commands);
    for (const [i, { stamp }] of commands.entries()) {
      if (stamp === undefined) continue;
      const identity = identityOf(stamp.session, stamp.counter);
      results.set(identity, [...(results.get(identity) ?? []), outcomes[i]!]);
    }
    replica.apply({ position, timestampNanos, bytes });
    // Of a key that one batch wrote several times, only the last value can be seen by readers.
    for (const { store, key, revision } of model.changes) {
      if (store !== mainStore) continue;
      const entry = model.data.stores.get(store)?.entries.get(key);
      const list = versions.get(key) ?? [{ revision: 0n, value: undefined }];
      list.push({ revision, value: entry?.revision === revision ? entry.value : undefined });
      versions.set(key, list);
    }
    hashes.push({ chain: hashToHex(replica.state.chain), stateHash: hashToHex(replica.state.stateHash) });
  }
  return { model, replica, results, versions, hashes };
}

/** Violations, in words; none where all is well. */
export function checkHistory(
  history: readonly HistoryRecord[],
  log: readonly LogRecord[],
  claims: readonly Claim[],
  /** How late the clock of a reader may be. */
  clockErrorMs: number,
): string[] {
  const played = replay(log);
  const writes = history.filter((record) => record.kind === 'write');
  const reads = history.filter((record) => record.kind === 'read' && record.entries !== undefined) as ReadRecord[];
  return [
    ...checkClaims(claims, played),
    ...writes.flatMap((write) => checkAnswer(write, played)),
    ...checkOnce(writes, played),
    ...checkCounters(writes, played),
    ...reads.flatMap((read) => checkRead(read, played, clockErrorMs)),
    ...registerKeys.flatMap((key) => checkLinearizable(key, writes, reads, played.versions.get(key) ?? [])),
    ...checkOwnWrites(writes, reads),
  ];
}

/** Replicas at one position are equal: to what the log says, and so to each other. */
function checkClaims(claims: readonly Claim[], { hashes }: Replay): string[] {
  return claims.flatMap(({ node, position, chain, stateHash }) => {
    const expected = hashes[Number(position) - 1];
    if (expected?.chain === chain && expected.stateHash === stateHash) return [];
    return [
      `${node} was at ${position} with chain ${chain} and state ${stateHash}; the log gives ${expected?.chain} and ${expected?.stateHash}`,
    ];
  });
}

/** The client was told what came of its command; and where it was refused, nothing came of it. */
function checkAnswer(write: WriteRecord, { results }: Replay): string[] {
  const found = [...write.identities].flatMap((identity) => results.get(identity) ?? []);
  const name = `${write.client}: ${write.command.kind} ${write.token}`;
  if (write.outcome === 'refused') {
    const done = found.some(({ code }) => code !== 'session_expired' && code !== 'overloaded');
    return done ? [`${name} was refused, and yet it is in the log`] : [];
  }
  if (write.outcome !== 'answered') return [];
  const told = printed(write.result);
  return found.some((result) => printed(result) === told)
    ? []
    : [`${name} was answered ${told}; the log says ${printed(found)}`];
}

/** In one order of members: a result that was remembered is made by another hand. */
function printed(value: unknown): string {
  const plain = (member: unknown): unknown => {
    if (typeof member === 'bigint') return `${member}n`;
    if (typeof member !== 'object' || member === null || Array.isArray(member)) return member;
    return Object.fromEntries(Object.entries(member).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  };
  return JSON.stringify(value, (_, member: unknown) => plain(member)) ?? 'nothing';
}

/** An acknowledged token is there once, one that is unknown at most once, one that was refused never. */
function checkOnce(writes: readonly WriteRecord[], { model }: Replay): string[] {
  return writes.flatMap(({ command, token, outcome, result, client }) => {
    const operation = command.kind === 'mutate' ? command.operations[0]! : undefined;
    if (operation?.kind !== 'append') return [];
    const value = model.data.stores.get(mainStore)?.entries.get(operation.key)?.value ?? '';
    const times = value.split(token).length - 1;
    const allowed =
      outcome === 'answered' && result!.operations[0]!.code === 'done' ? [1] : outcome === 'unknown' ? [0, 1] : [0];
    return allowed.includes(times) ? [] : [`${client}: token ${token} (${outcome}) is there ${times} times`];
  });
}

function checkCounters(writes: readonly WriteRecord[], { model }: Replay): string[] {
  const entries = model.data.stores.get(mainStore)?.entries;
  return counterKeys.flatMap((key) => {
    const increments = writes.filter(({ command }) => command.kind === 'mutate' && command.operations[0]!.key === key);
    const answered = increments.filter(({ outcome }) => outcome === 'answered').length;
    const unknown = increments.filter(({ outcome }) => outcome === 'unknown').length;
    const value = Number(entries?.get(key)?.value ?? 0);
    return value >= answered && value <= answered + unknown
      ? []
      : [`${key} is ${value} after ${answered} increments and ${unknown} unknown ones`];
  });
}

/** Whatever the consistency: what was read is one state that once was, and none of it had expired. */
function checkRead(read: ReadRecord, { versions }: Replay, clockErrorMs: number): string[] {
  const found: string[] = [];
  const name = `${read.client}: ${read.consistency} read`;
  for (const [i, key] of read.keys.entries()) {
    const entry = read.entries![i];
    if (entry === undefined) continue;
    const value = binaryFromBytes(entry.value);
    const version = versions.get(key)?.find(({ revision }) => revision === entry.revision);
    if (entry.expiresAtMs !== 0 && entry.expiresAtMs <= read.invokedMs - clockErrorMs)
      found.push(`${name} ${key} had expired at ${entry.expiresAtMs}`);
    if (version?.value !== value)
      found.push(`${name} ${key} revision ${entry.revision} is ${value}; it was ${version?.value}`);
  }
  if (read.keys === accountKeys) {
    const sum = read.entries!.reduce(
      (total, entry) => total + Number(entry === undefined ? 0 : binaryFromBytes(entry.value)),
      0,
    );
    if (sum !== 0) found.push(`${name} of the accounts sums up to ${sum}: a transaction was torn`);
  }
  return found;
}

/** When a version was certainly there, and when it perhaps was: from its write's first step to its answer. */
function spanOf(revision: bigint, key: string, writes: readonly WriteRecord[]): { invoked: number; responded: number } {
  if (revision === 0n) return { invoked: 0, responded: 0 };
  for (const { command, outcome, result, invoked, responded } of writes) {
    if (outcome !== 'answered' || command.kind !== 'mutate') continue;
    const at = result!.operations.findIndex(
      (operation) => operation.code === 'done' && operation.revision === revision,
    );
    if (at !== -1 && command.operations[at]!.key === key) return { invoked, responded };
  }
  // Its client does not know: any time.
  return { invoked: 0, responded: Infinity };
}

/**
 * The key's versions have one order, that of the log. Linearizable: every write takes effect, and every
 * strong read sees a version, between its first step and its answer, in that order. Each read takes the
 * oldest version that it can, which leaves the most room for those after it.
 */
/* oxlint-disable-next-line max-params -- the parts of one history */
function checkLinearizable(
  key: string,
  writes: readonly WriteRecord[],
  reads: readonly ReadRecord[],
  versions: readonly Version[],
): string[] {
  const spans = versions.map(({ revision }) => ({ revision, ...spanOf(revision, key, writes) }));
  const found: string[] = [];
  for (const [i, { invoked, revision }] of spans.entries()) {
    const later = spans.slice(i + 1).find(({ responded }) => responded < invoked);
    if (later !== undefined)
      found.push(`${key}: revision ${revision} was asked for after ${later.revision} had been answered`);
  }
  const strong = reads.filter(({ consistency, keys }) => consistency === 'strong' && keys.includes(key));
  const seen: { at: number; responded: number }[] = [];
  for (const read of strong.toSorted((a, b) => a.responded - b.responded)) {
    const from = Math.max(
      0,
      spans.findLastIndex(({ responded }) => responded < read.invoked),
      ...seen.filter(({ responded }) => responded < read.invoked).map(({ at }) => at),
    );
    const entry = read.entries![read.keys.indexOf(key)];
    const at = versions.findIndex(
      ({ revision, value }, i) =>
        i >= from && (entry === undefined ? value === undefined : revision === entry.revision),
    );
    const missed =
      versions.length === 0 && entry === undefined ? false : at === -1 || spans[at]!.invoked > read.responded;
    if (missed) {
      found.push(
        `${read.client}: strong read of ${key} saw ${entry?.revision ?? 'nothing'}; ${versions[from]?.revision} was there before it began`,
      );
    } else if (at !== -1) seen.push({ at, responded: read.responded });
  }
  return found;
}

/** A session read sees what its own client was answered before. */
function checkOwnWrites(writes: readonly WriteRecord[], reads: readonly ReadRecord[]): string[] {
  return reads.flatMap((read) => {
    if (read.consistency === 'eventual') return [];
    return read.keys.flatMap((key, i) => {
      if ((leaseKeys as readonly string[]).includes(key)) return [];
      const own = writes.flatMap(({ client, responded, outcome, command, result }) => {
        if (client !== read.client || outcome !== 'answered' || responded >= read.invoked || command.kind !== 'mutate')
          return [];
        return result!.operations.flatMap(({ code, revision }, at) =>
          code === 'done' && command.operations[at]!.key === key ? [revision] : [],
        );
      });
      const newest = own.reduce((most, revision) => (revision > most ? revision : most), 0n);
      const entry = read.entries![i];
      // An absent entry may be a later deletion; only keys that nobody deletes say more.
      const lasting = ([...tokenKeys, ...counterKeys, ...accountKeys] as readonly string[]).includes(key);
      const stale = entry === undefined ? lasting && newest > 0n : entry.revision < newest;
      return stale
        ? [
            `${read.client}: ${read.consistency} read of ${key} saw ${entry?.revision ?? 'nothing'} after its own ${newest}`,
          ]
        : [];
    });
  });
}
