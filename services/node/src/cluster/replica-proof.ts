// The continuous proof of one running replica: it tells its hashes at fixed positions, hears those of the
// others, and stops where it is found to be the one that differs. Where no majority decides, it verifies
// itself; that reads every record, so it is done beside the work, and only then.
import type { Hash128, PartitionState } from '@statestore/core';
import { limits } from '@statestore/core';
import type { Proof, ProofExchange, ProofMessage } from '@statestore/cluster';
import type { Time, Timer } from '../time.ts';
import type { Hashes } from './hash-ring.ts';
import { HashRing } from './hash-ring.ts';
import { judgeProofs } from './proof-judge.ts';

export interface ReplicaProofOptions {
  readonly partition: number;
  /** Name of this node. */
  readonly node: string;
  readonly incarnation: string;
  /** Nodes of the topology's replicas, as it is now. */
  readonly replicas: () => readonly string[];
  readonly exchange: ProofExchange;
  readonly time: Time;
  readonly interval?: bigint;
  /** What of this replica does not follow from its records; rejects where that could not be found out. */
  readonly verify: () => Promise<readonly string[]>;
  readonly onDiverged: (why: string, divergence: Divergence) => void;
  /** Another replica's hashes differ from this one's. */
  readonly onMismatch: (details: Readonly<Record<string, unknown>>) => void;
  /** A replica of the same log has applied this position. */
  readonly onHeard: (node: string, position: bigint) => void;
}

export interface Divergence {
  /** This replica is wrong; false: nobody can say which one is. */
  readonly decided: boolean;
  /** Another chain: it has applied other batches, and may be the only one that has. The same one: it is only wrong. */
  readonly otherHistory: boolean;
}

/** The hashes of several replicas at one position, others' first: own ones are in the rings. */
interface Ballot {
  readonly votes: Map<string, Hashes>;
  /** When the first difference was seen. */
  openSinceMs?: number;
  told?: boolean;
}

interface Dispute {
  readonly position: bigint;
  readonly against: ReadonlySet<string>;
  readonly otherHistory: boolean;
  readonly untilMs: number;
  /** Set when this replica found nothing wrong with itself. */
  sound: boolean;
}

const tickMs = 250;

export class ReplicaProof {
  readonly #options: ReplicaProofOptions;
  readonly #interval: bigint;
  readonly #recent = new HashRing(limits.proofRecent);
  readonly #fixed: HashRing;
  readonly #ballots = new Map<bigint, Ballot>();
  readonly #verdicts = new Map<string, { readonly sound: boolean; readonly atMs: number }>();
  readonly #leave: () => void;
  #applied: bigint;
  #dispute: Dispute | undefined;
  #timer: Timer | undefined;
  #closed = false;

  /** `begin`: where the replica is now. */
  constructor(options: ReplicaProofOptions, begin: Hashes & { readonly position: bigint }) {
    this.#options = options;
    this.#applied = begin.position;
    this.#interval = options.interval ?? limits.proofInterval;
    this.#fixed = new HashRing(limits.proofRing, this.#interval);
    this.#recent.begin(begin);
    this.#leave = options.exchange.subscribe(options.partition, (message) => this.#hear(message));
  }

  /** After each batch. */
  applied(state: Readonly<PartitionState>): void {
    const { position } = state;
    this.#applied = position;
    this.#recent.note(state);
    const fixed = position % this.#interval === 0n;
    if (fixed) this.#fixed.note(state);
    if (this.#closed) return;
    if (fixed) this.#tell(position, this.hashesAt(position)!);
    // Others were here before.
    const ballot = this.#ballots.get(position);
    if (ballot !== undefined) this.#judge(position, ballot);
  }

  /** Own hashes at a position passed not long ago. */
  hashesAt(position: bigint): Hashes | undefined {
    return this.#recent.get(position) ?? this.#fixed.get(position);
  }

  /** Own chain at one of the last positions; a copy. */
  chainAt(position: bigint): Hash128 | undefined {
    return this.#recent.chainAt(position);
  }

  /** Of another replica, however it came here. */
  heard({ node, incarnation, position, ...hashes }: Omit<Proof, 'kind'>): void {
    const { node: self, incarnation: own, replicas, onHeard } = this.#options;
    if (this.#closed || node === self || incarnation !== own || !replicas().includes(node)) return;
    onHeard(node, position);
    if (this.#closed) return;
    // Too long ago: nothing to compare with.
    if (position <= this.#applied && this.hashesAt(position) === undefined) return;
    const ballot = this.#ballotAt(position);
    ballot.votes.set(node, hashes);
    this.#judge(position, ballot);
  }

  /** Asks the others to tell where they are. */
  inquire(): void {
    const { exchange, partition, node } = this.#options;
    exchange.publish(partition, { kind: 'inquiry', node });
  }

  #hear(message: ProofMessage): void {
    const { node: self, incarnation, replicas, time } = this.#options;
    if (this.#closed || message.node === self) return;
    switch (message.kind) {
      case 'proof':
        return this.heard(message);
      case 'inquiry': {
        const own = this.hashesAt(this.#applied);
        if (own !== undefined) this.#tell(this.#applied, own);
        return;
      }
      case 'verdict':
        if (message.incarnation !== incarnation || !replicas().includes(message.node)) return;
        this.#verdicts.set(message.node, { sound: message.sound, atMs: time.elapsedMs() });
        return this.#settle();
    }
  }

  #tell(position: bigint, hashes: Hashes): void {
    const { exchange, partition, node, incarnation } = this.#options;
    exchange.publish(partition, { kind: 'proof', node, incarnation, position, ...hashes });
  }

  #ballotAt(position: bigint): Ballot {
    const known = this.#ballots.get(position);
    if (known !== undefined) return known;
    const ballot: Ballot = { votes: new Map() };
    this.#ballots.set(position, ballot);
    for (const oldest of this.#ballots.keys()) {
      if (this.#ballots.size <= limits.proofVotesMax) break;
      this.#ballots.delete(oldest);
    }
    return ballot;
  }

  #judge(position: bigint, ballot: Ballot): void {
    const { node, replicas, time, onMismatch, onDiverged } = this.#options;
    const own = ballot.votes.get(node) ?? this.hashesAt(position);
    if (position > this.#applied || own === undefined) return;
    ballot.votes.set(node, own);
    const finding = judgeProofs(ballot.votes, node, replicas());
    if (finding.kind === 'equal') return;
    if (ballot.told !== true) {
      ballot.told = true;
      onMismatch({ position: position.toString(), votes: Object.fromEntries(ballot.votes) });
    }
    if (finding.kind === 'outvoted') {
      const why = `at position ${position} its hashes differ from those of ${finding.by.join(', ')}`;
      return onDiverged(why, { decided: true, otherHistory: isOtherHistory(own, finding.by, ballot.votes) });
    }
    if (finding.kind === 'confirmed') return;
    ballot.openSinceMs ??= time.elapsedMs();
    const waited = time.elapsedMs() - ballot.openSinceMs >= limits.proofWaitMs;
    if (finding.silent.length > 0 && !waited) return this.#tick();
    this.#enterDispute(position, finding.against, isOtherHistory(own, finding.against, ballot.votes));
  }

  #enterDispute(position: bigint, against: readonly string[], otherHistory: boolean): void {
    if (this.#dispute !== undefined) return;
    const untilMs = this.#options.time.elapsedMs() + limits.proofVerdictMs;
    const dispute: Dispute = { position, against: new Set(against), otherHistory, untilMs, sound: false };
    this.#dispute = dispute;
    void this.#verify(dispute);
    this.#tick();
  }

  async #verify(dispute: Dispute): Promise<void> {
    const { verify, onDiverged } = this.#options;
    let differences: readonly string[];
    try {
      differences = await verify();
    } catch {
      // It may be closing, or its engine failed: the next difference asks again.
      if (this.#dispute === dispute) this.#dispute = undefined;
      return;
    }
    if (this.#closed) return;
    this.#publishVerdict(dispute.position, differences.length === 0);
    if (differences.length > 0) {
      const why = `its records do not agree with its hashes: ${differences.slice(0, 3).join('; ')}`;
      return onDiverged(why, { decided: true, otherHistory: dispute.otherHistory });
    }
    dispute.sound = true;
    this.#settle();
  }

  #publishVerdict(position: bigint, sound: boolean): void {
    const { exchange, partition, node, incarnation } = this.#options;
    exchange.publish(partition, { kind: 'verdict', node, incarnation, position, sound });
  }

  /** Once this replica is found sound: what did those find that differ from it? */
  #settle(): void {
    const dispute = this.#dispute;
    if (dispute?.sound !== true || this.#closed) return;
    const { time, onDiverged } = this.#options;
    const verdicts = [...dispute.against].map((node) => {
      const verdict = this.#verdicts.get(node);
      const fresh = verdict !== undefined && time.elapsedMs() - verdict.atMs < limits.proofVerdictMs;
      return { node, sound: fresh ? verdict.sound : undefined };
    });
    const other = verdicts.find(({ sound }) => sound === true);
    if (other !== undefined) {
      // Once more: whoever missed it would go on alone.
      this.#publishVerdict(dispute.position, true);
      return onDiverged(
        `at position ${dispute.position} its hashes differ from those of ${other.node}; each agrees with its own records, and no majority decides`,
        { decided: false, otherHistory: dispute.otherHistory },
      );
    }
    if (verdicts.every(({ sound }) => sound === false)) this.#endDispute();
  }

  #endDispute(): void {
    this.#dispute = undefined;
    // What was in dispute is decided, or nobody answers: later positions will tell.
    this.#ballots.clear();
  }

  #tick(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = this.#options.time.after(tickMs, () => {
      this.#timer = undefined;
      const nowMs = this.#options.time.elapsedMs();
      const dispute = this.#dispute;
      if (dispute !== undefined) {
        if (dispute.sound) this.#publishVerdict(dispute.position, true);
        if (nowMs >= dispute.untilMs) this.#endDispute();
        else this.#tick();
        return;
      }
      for (const [position, ballot] of this.#ballots) {
        if (ballot.openSinceMs !== undefined) this.#judge(position, ballot);
      }
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#leave();
  }
}

function isOtherHistory({ chain }: Hashes, others: readonly string[], votes: ReadonlyMap<string, Hashes>): boolean {
  return others.some((node) => votes.get(node)?.chain !== chain);
}
