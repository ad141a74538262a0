// Batches as bytes: proto/statestore/v1/log.proto. Unknown fields are
// passed over, an unknown operation or command of a batch is refused: a replica that guessed would
// part from its peers.
import type { BinaryString } from '../binary-string.ts';
import type { Batch, Check, Command, CommandBody, Mutate, Operation, SessionStamp } from '../command.ts';
import { malformed, WireReader, WireWriter } from '../wire.ts';
import { readConfigure, writeConfigure } from './configure.ts';
import { batchFormat, newerFormat } from './format.ts';
import { readCheck, readOperation, writeCheck, writeOperation } from './operation.ts';
import { readReshape, writeReshape } from './reshape.ts';

const writer = new WireWriter(256 * 1024);

export function encodeBatch(batch: Batch): Uint8Array {
  const w = writer;
  w.reset();
  const sessions: BinaryString[] = [];
  for (const { stamp } of batch.commands) {
    if (stamp !== undefined && !sessions.includes(stamp.session)) sessions.push(stamp.session);
  }
  for (let i = batch.commands.length - 1; i >= 0; i--) {
    const start = w.size;
    const command = batch.commands[i]!;
    writeCommand(w, command, command.stamp === undefined ? 0 : sessions.indexOf(command.stamp.session) + 1);
    w.lengthPrefix(6, w.size - start);
  }
  for (let i = sessions.length - 1; i >= 0; i--) w.presentBinary(5, sessions[i]!);
  w.uint(4, batch.number);
  w.binary(3, batch.proposer);
  w.uint(2, batch.partition);
  w.uint(1, batchFormat);
  return w.finishPassing();
}

function writeCommand(w: WireWriter, command: Command, session: number): void {
  writeBody(w, command.body);
  if (command.slotsEpoch !== undefined) w.presentBigUint(6, command.slotsEpoch);
  if (command.idempotency !== undefined) {
    const start = w.size;
    w.binary(2, command.idempotency.fingerprint);
    w.binary(1, command.idempotency.id);
    w.lengthPrefix(5, w.size - start);
  }
  const { stamp } = command;
  if (stamp === undefined) return;
  w.flag(4, stamp.opens);
  w.uint(3, stamp.firstUnanswered);
  w.uint(2, stamp.counter);
  w.uint(1, session);
}

function writeBody(w: WireWriter, body: CommandBody): void {
  const start = w.size;
  switch (body.kind) {
    case 'mutate':
      writeMutate(w, body);
      return w.lengthPrefix(10, w.size - start);
    case 'clear':
      w.binary(1, body.store);
      return w.lengthPrefix(11, w.size - start);
    case 'configure':
      writeConfigure(w, body);
      return w.lengthPrefix(12, w.size - start);
    case 'adjustAllowance':
      w.uint(4, body.settingsVersion);
      w.sint(3, body.bytes);
      w.sint(2, body.entries);
      w.binary(1, body.store);
      return w.lengthPrefix(13, w.size - start);
    case 'sweep':
      if (body.forgetBeforeMs !== undefined) w.presentUint(4, body.forgetBeforeMs);
      w.binary(3, body.countStore);
      w.uint(2, body.changesKeptBytes);
      w.uint(1, body.limit);
      return w.lengthPrefix(14, w.size - start);
    case 'barrier':
      return w.lengthPrefix(15, 0);
    default:
      return writeReshape(w, body);
  }
}

function writeMutate(w: WireWriter, mutate: Mutate): void {
  for (let i = mutate.operations.length - 1; i >= 0; i--) {
    const start = w.size;
    writeOperation(w, mutate.operations[i]!);
    w.lengthPrefix(4, w.size - start);
  }
  for (let i = mutate.checks.length - 1; i >= 0; i--) {
    const start = w.size;
    writeCheck(w, mutate.checks[i]!);
    w.lengthPrefix(3, w.size - start);
  }
  w.flag(2, mutate.atomic);
  w.binary(1, mutate.store);
}

/** Throws `data_corrupt` where the bytes are no batch, `data_format` where it is a newer one's. */
export function decodeBatch(bytes: Uint8Array): Batch {
  const r = new WireReader(bytes);
  const sessions: BinaryString[] = [];
  const commands: Command[] = [];
  let format = 0;
  let partition = 0;
  let proposer = '';
  let number = 0;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) {
      format = r.uint();
      if (format > batchFormat) throw newerFormat(`batch format ${format}`);
    } else if (field === 2) partition = r.uint();
    else if (field === 3) proposer = r.binary();
    else if (field === 4) number = r.uint();
    else if (field === 5) sessions.push(r.binary());
    else if (field === 6) {
      const outer = r.enter();
      commands.push(readCommand(r, sessions));
      r.leave(outer);
    } else r.skip();
  }
  if (format === 0) throw malformed('a batch without a format');
  return { partition, proposer, number, commands };
}

function readCommand(r: WireReader, sessions: readonly BinaryString[]): Command {
  let session = 0;
  let counter = 0;
  let firstUnanswered = 0;
  let opens = false;
  let idempotency: Command['idempotency'];
  let slotsEpoch: bigint | undefined;
  let body: CommandBody | undefined;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) session = r.uint();
    else if (field === 2) counter = r.uint();
    else if (field === 3) firstUnanswered = r.uint();
    else if (field === 4) opens = r.uint() !== 0;
    else if (field === 5 || isBody(field)) {
      const outer = r.enter();
      if (field === 5) idempotency = readIdempotency(r);
      else body = readBody(r, field);
      r.leave(outer);
    } else if (field === 6) slotsEpoch = r.bigUint();
    else if (field < firstBody) r.skip();
    else throw newerFormat(`command ${field}`);
  }
  if (body === undefined) throw malformed('a command without a body');
  if (slotsEpoch !== undefined) {
    const rest = idempotency === undefined ? { slotsEpoch, body } : { idempotency, slotsEpoch, body };
    return session === 0 ? rest : { stamp: readStamp(sessions[session - 1], counter, firstUnanswered, opens), ...rest };
  }
  const stamp = session === 0 ? undefined : readStamp(sessions[session - 1], counter, firstUnanswered, opens);
  if (stamp === undefined) return idempotency === undefined ? { body } : { idempotency, body };
  return idempotency === undefined ? { stamp, body } : { stamp, idempotency, body };
}

function readStamp(
  session: BinaryString | undefined,
  counter: number,
  firstUnanswered: number,
  opens: boolean,
): SessionStamp {
  if (session === undefined) throw malformed('a command of a session that the batch does not name');
  return { session, counter, firstUnanswered, opens };
}

function readIdempotency(r: WireReader): NonNullable<Command['idempotency']> {
  let id = '';
  let fingerprint = '';
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) id = r.binary();
    else if (field === 2) fingerprint = r.binary();
    else r.skip();
  }
  return { id, fingerprint };
}

// The numbers of the bodies; those after them are left for bodies to come, which must not be passed over.
const firstBody = 10;
const lastBody = 21;

function isBody(field: number): boolean {
  return field >= firstBody && field <= lastBody;
}

function readBody(r: WireReader, field: number): CommandBody {
  switch (field) {
    case 10:
      return readMutate(r);
    case 11:
      return { kind: 'clear', store: readStoreOnly(r) };
    case 12:
      return readConfigure(r);
    case 13:
      return readAdjustAllowance(r);
    case 14:
      return readSweep(r);
    case 15:
      return { kind: 'barrier' };
    default: {
      const reshape = readReshape(r, field);
      if (reshape === undefined) throw newerFormat(`command ${field}`);
      return reshape;
    }
  }
}

function readStoreOnly(r: WireReader): string {
  let store = '';
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) store = r.binary();
    else r.skip();
  }
  return store;
}

function readAdjustAllowance(r: WireReader): CommandBody {
  let store = '';
  let entries = 0;
  let bytes = 0;
  let settingsVersion = 0;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) store = r.binary();
    else if (field === 2) entries = r.sint();
    else if (field === 3) bytes = r.sint();
    else if (field === 4) settingsVersion = r.uint();
    else r.skip();
  }
  return { kind: 'adjustAllowance', store, settingsVersion, entries, bytes };
}

function readSweep(r: WireReader): CommandBody {
  let limit = 0;
  let changesKeptBytes = 0;
  let countStore = '';
  let forgetBeforeMs: number | undefined;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) limit = r.uint();
    else if (field === 2) changesKeptBytes = r.uint();
    else if (field === 3) countStore = r.binary();
    else if (field === 4) forgetBeforeMs = r.uint();
    else r.skip();
  }
  const sweep = { kind: 'sweep', limit, changesKeptBytes, countStore } as const;
  return forgetBeforeMs === undefined ? sweep : { ...sweep, forgetBeforeMs };
}

function readMutate(r: WireReader): Mutate {
  let store = '';
  let atomic = false;
  const checks: Check[] = [];
  const operations: Operation[] = [];
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) store = r.binary();
    else if (field === 2) atomic = r.uint() !== 0;
    else if (field === 3 || field === 4) {
      const outer = r.enter();
      if (field === 3) checks.push(readCheck(r));
      else operations.push(readOperation(r));
      r.leave(outer);
    } else r.skip();
  }
  return { kind: 'mutate', store, atomic, checks, operations };
}
