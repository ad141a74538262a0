// Commands of splits and merges as bytes: their messages of proto/statestore/v1/log.proto. Few of them are written, so
// they are read and written plainly; fields are written last first, as WireWriter wants it.
import type { BinaryString } from '../binary-string.ts';
import type {
  Absorb,
  AbsorbedStore,
  Fence,
  GivenStore,
  HandOver,
  PrepareAbsorb,
  Remember,
  RememberedRecord,
  ReshapeCommand,
  Unfence,
} from '../command.ts';
import { readRange, writeRanges } from '../keyspace/owned.ts';
import { commandResult } from '../result.ts';
import type { WireReader, WireWriter } from '../wire.ts';
import { readConfigure, writeConfigure } from './configure.ts';
import { decodeCommandResult, encodeCommandResult } from './result.ts';

type Kind = ReshapeCommand['kind'];

/** Of the body in a Command. */
export const reshapeFields: Readonly<Record<Kind, number>> = {
  fence: 16,
  unfence: 17,
  handOver: 18,
  prepareAbsorb: 19,
  remember: 20,
  absorb: 21,
};

export function writeReshape(w: WireWriter, body: ReshapeCommand): void {
  const start = w.size;
  writeFields(w, body);
  w.binary(1, body.reshape);
  w.lengthPrefix(reshapeFields[body.kind], w.size - start);
}

/** All but the first field. */
function writeFields(w: WireWriter, body: ReshapeCommand): void {
  switch (body.kind) {
    case 'fence':
      w.bigUint(4, body.slotsEpoch);
      writeRanges(w, 3, body.ownedBefore);
      return writeRanges(w, 2, body.slots);
    case 'unfence':
      writeRanges(w, 4, body.ownedBefore);
      w.flag(3, body.forGood);
      return w.bigUint(2, body.slotsEpoch);
    case 'handOver':
      w.bigUint(4, body.fencedPosition);
      repeated(w, 3, writeGiven, body.stores);
      return w.bigUint(2, body.slotsEpoch);
    case 'prepareAbsorb':
      writeRanges(w, 3, body.ownedBefore);
      for (let i = body.stores.length - 1; i >= 0; i--) w.presentBinary(2, body.stores[i]!);
      return;
    case 'remember':
      return repeated(w, 2, writeRemembered, body.records);
    case 'absorb':
      repeated(w, 8, writeAbsorbed, body.stores);
      w.uint(7, body.expired);
      w.bigUint(6, body.clockNanos);
      w.bigUint(5, body.revision);
      writeRanges(w, 4, body.ownedBefore);
      w.bigUint(3, body.slotsEpoch);
      return writeRanges(w, 2, body.slots);
  }
}

function repeated<T>(w: WireWriter, field: number, write: (w: WireWriter, one: T) => void, all: readonly T[]): void {
  for (let i = all.length - 1; i >= 0; i--) {
    const start = w.size;
    write(w, all[i]!);
    w.lengthPrefix(field, w.size - start);
  }
}

function writeGiven(w: WireWriter, { name, entries, bytes, hash }: GivenStore): void {
  w.binary(4, hash);
  w.uint(3, bytes);
  w.uint(2, entries);
  w.binary(1, name);
}

function writeRemembered(w: WireWriter, { id, fingerprint, expiresAtMs, result }: RememberedRecord): void {
  w.bytes(4, encodeCommandResult(result));
  w.uint(3, expiresAtMs);
  w.binary(2, fingerprint);
  w.binary(1, id);
}

function writeAbsorbed(w: WireWriter, store: AbsorbedStore): void {
  repeated(w, 4, writeConfigure, [{ ...store, store: '' }]);
  w.uint(3, store.expired);
  w.uint(2, store.ordinal);
  repeated(w, 1, writeGiven, [store]);
}

const readers: Readonly<Record<number, (r: WireReader) => ReshapeCommand>> = {
  16: readFence,
  17: readUnfence,
  18: readHandOver,
  19: readPrepareAbsorb,
  20: readRemember,
  21: readAbsorb,
};

/** Undefined: no command of this number is known. */
export function readReshape(r: WireReader, number: number): ReshapeCommand | undefined {
  return readers[number]?.(r);
}

function readFence(r: WireReader): Fence {
  const fence = { kind: 'fence' as const, reshape: '', slots: ranges(), ownedBefore: ranges(), slotsEpoch: 0n };
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) fence.reshape = r.binary();
    else if (field === 2) fence.slots.push(readRange(r));
    else if (field === 3) fence.ownedBefore.push(readRange(r));
    else if (field === 4) fence.slotsEpoch = r.bigUint();
    else r.skip();
  }
  return fence;
}

function readUnfence(r: WireReader): Unfence {
  const unfence = { kind: 'unfence' as const, reshape: '', slotsEpoch: 0n, forGood: false, ownedBefore: ranges() };
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) unfence.reshape = r.binary();
    else if (field === 2) unfence.slotsEpoch = r.bigUint();
    else if (field === 3) unfence.forGood = r.uint() !== 0;
    else if (field === 4) unfence.ownedBefore.push(readRange(r));
    else r.skip();
  }
  return unfence;
}

function readHandOver(r: WireReader): HandOver {
  const stores: GivenStore[] = [];
  const handOver = { kind: 'handOver' as const, reshape: '', slotsEpoch: 0n, fencedPosition: 0n, stores };
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) handOver.reshape = r.binary();
    else if (field === 2) handOver.slotsEpoch = r.bigUint();
    else if (field === 3) stores.push(nested(r, readGiven));
    else if (field === 4) handOver.fencedPosition = r.bigUint();
    else r.skip();
  }
  return handOver;
}

function readPrepareAbsorb(r: WireReader): PrepareAbsorb {
  const stores: string[] = [];
  const prepare = { kind: 'prepareAbsorb' as const, reshape: '', stores, ownedBefore: ranges() };
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) prepare.reshape = r.binary();
    else if (field === 2) stores.push(r.binary());
    else if (field === 3) prepare.ownedBefore.push(readRange(r));
    else r.skip();
  }
  return prepare;
}

function readRemember(r: WireReader): Remember {
  const records: RememberedRecord[] = [];
  let reshape: BinaryString = '';
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) reshape = r.binary();
    else if (field === 2) records.push(nested(r, readRemembered));
    else r.skip();
  }
  return { kind: 'remember', reshape, records };
}

function readAbsorb(r: WireReader): Absorb {
  const stores: AbsorbedStore[] = [];
  const [slots, ownedBefore] = [ranges(), ranges()];
  let reshape: BinaryString = '';
  let slotsEpoch = 0n;
  let revision = 0n;
  let clockNanos = 0n;
  let expired = 0;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) reshape = r.binary();
    else if (field === 2) slots.push(readRange(r));
    else if (field === 3) slotsEpoch = r.bigUint();
    else if (field === 4) ownedBefore.push(readRange(r));
    else if (field === 5) revision = r.bigUint();
    else if (field === 6) clockNanos = r.bigUint();
    else if (field === 7) expired = r.uint();
    else if (field === 8) stores.push(nested(r, readAbsorbed));
    else r.skip();
  }
  return { kind: 'absorb', reshape, slots, slotsEpoch, ownedBefore, revision, clockNanos, expired, stores };
}

function ranges(): { start: number; end: number }[] {
  return [];
}

function nested<T>(r: WireReader, read: (r: WireReader) => T): T {
  const outer = r.enter();
  const value = read(r);
  r.leave(outer);
  return value;
}

function readGiven(r: WireReader): GivenStore {
  const given = { name: '', entries: 0, bytes: 0, hash: '' };
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) given.name = r.binary();
    else if (field === 2) given.entries = r.uint();
    else if (field === 3) given.bytes = r.uint();
    else if (field === 4) given.hash = r.binary();
    else r.skip();
  }
  return given;
}

function readRemembered(r: WireReader): RememberedRecord {
  const record = { id: '', fingerprint: '', expiresAtMs: 0, result: commandResult('done') };
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) record.id = r.binary();
    else if (field === 2) record.fingerprint = r.binary();
    else if (field === 3) record.expiresAtMs = r.uint();
    else if (field === 4) record.result = decodeCommandResult(r.bytes());
    else r.skip();
  }
  return record;
}

function readAbsorbed(r: WireReader): AbsorbedStore {
  let given: GivenStore = { name: '', entries: 0, bytes: 0, hash: '' };
  let ordinal = 0;
  let expired = 0;
  let configured = noSettings;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) given = nested(r, readGiven);
    else if (field === 2) ordinal = r.uint();
    else if (field === 3) expired = r.uint();
    else if (field === 4) configured = nested(r, readConfigure);
    else r.skip();
  }
  const { settings, settingsVersion, allowanceEntries, allowanceBytes } = configured;
  return { ...given, ordinal, expired, settings, settingsVersion, allowanceEntries, allowanceBytes };
}

const noSettings: ReturnType<typeof readConfigure> = {
  kind: 'configure',
  store: '',
  settings: { defaultTtlMs: 0, quotaEntries: undefined, quotaBytes: undefined },
  settingsVersion: 0,
  allowanceEntries: undefined,
  allowanceBytes: undefined,
};
