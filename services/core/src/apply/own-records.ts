// Which records of an engine are the state's own. Beside them there may be foreign ones: entries, and their records in
// the index by expiry, of slots that the partition gave away, or that are staged before it takes them. They are no part
// of the state, and there are more of them on one replica than on another: nothing that apply does may depend on them.
import type { BinaryString } from '../binary-string.ts';
import { entryKeyPrefixLength } from '../keyspace/entry.ts';
import { uint32At } from '../keyspace/numbers.ts';
import { entryPrefix, expiryPrefix } from '../keyspace/prefix.ts';
import type { RetiredKeyspace } from '../keyspace/retired.ts';
import { decodeRetired, retiredKey } from '../keyspace/retired.ts';
import { containsSlot } from '../slot-ranges.ts';
import { slotOf } from '../slots.ts';
import type { OwnedRange, PartitionState } from './state.ts';

const entryByte = entryPrefix.charCodeAt(0);
const expiryByte = expiryPrefix.charCodeAt(0);
const expiryOrdinalAt = 7;
const expiryKeyAt = 11;

/** What decides over the records of one ordinal: all, none, or those of a store in slots. */
type Rule = true | false | RetiredKeyspace;

/** Valid until the next batch is applied. */
export class OwnRecords {
  readonly #slots: readonly OwnedRange[];
  readonly #nameOf: (ordinal: number) => string | undefined;
  readonly #get: (key: BinaryString) => Uint8Array | undefined;
  readonly #rules = new Map<number, Rule>();

  /** `nameOf`: of the store that has the ordinal now. `get`: of records of retired keyspaces. */
  constructor(
    slots: readonly OwnedRange[],
    nameOf: (ordinal: number) => string | undefined,
    get: (key: BinaryString) => Uint8Array | undefined,
  ) {
    this.#slots = slots;
    this.#nameOf = nameOf;
    this.#get = get;
  }

  /** Undefined where all records are the state's own: the partition was never reshaped. */
  static of(
    state: Readonly<PartitionState>,
    reader: { get(key: BinaryString): Uint8Array | undefined },
  ): OwnRecords | undefined {
    if (state.slots === undefined) return undefined;
    return new OwnRecords(
      state.slots,
      (ordinal) => state.storesByOrdinal.get(ordinal)?.name,
      (key) => reader.get(key),
    );
  }

  /** By the record's key, of whatever kind it is. */
  has(key: BinaryString): boolean {
    const kind = key.charCodeAt(0);
    if (kind === entryByte) return this.#isOwn(key, uint32At(key, 1), entryKeyPrefixLength);
    return kind !== expiryByte || this.#isOwn(key, uint32At(key, expiryOrdinalAt), expiryKeyAt);
  }

  #isOwn(key: BinaryString, ordinal: number, keyAt: number): boolean {
    const rule = this.#rules.get(ordinal) ?? this.#learn(ordinal);
    return typeof rule === 'boolean' ? rule : containsSlot(rule.slots, slotOf(rule.store, key.slice(keyAt)));
  }

  #learn(ordinal: number): Rule {
    const rule = this.#ruleOf(ordinal);
    this.#rules.set(ordinal, rule);
    return rule;
  }

  #ruleOf(ordinal: number): Rule {
    const store = this.#nameOf(ordinal);
    if (store !== undefined) return { store, slots: this.#slots };
    const retired = this.#get(retiredKey(ordinal));
    // Where a sweep was done with a keyspace, whatever is left there is not the state's.
    return retired === undefined ? false : (decodeRetired(retired) ?? true);
  }
}
