import { MemoryProofExchange } from '@statestore/cluster';
import { limits, newState } from '@statestore/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualTime, settled } from '../testing/manual-time.ts';
import { type Divergence, ReplicaProof } from './replica-proof.ts';

const incarnation = 'log-1';
let time: ManualTime;
let exchange: MemoryProofExchange;
let all: Subject[];

beforeEach(() => {
  time = new ManualTime();
  exchange = new MemoryProofExchange();
  all = [];
});

afterEach(() => {
  for (const { proof } of all) proof.close();
  expect(time.pending).toBe(0);
});

class Subject {
  readonly proof: ReplicaProof;
  readonly state = newState();
  readonly heard: [string, bigint][] = [];
  halted: string | undefined;
  divergence: Divergence | undefined;
  mismatches = 0;
  verified = 0;
  differences: readonly string[] = [];

  constructor(node: string, replicas: readonly string[], itsIncarnation = incarnation) {
    this.proof = new ReplicaProof(
      {
        partition: 0,
        node,
        incarnation: itsIncarnation,
        replicas: () => replicas,
        exchange,
        time,
        interval: 4n,
        verify: async () => {
          this.verified++;
          return this.differences;
        },
        onDiverged: (why, divergence) => {
          this.halted ??= why;
          this.divergence ??= divergence;
          this.proof.close();
        },
        onMismatch: () => this.mismatches++,
        onHeard: (from, position) => this.heard.push([from, position]),
      },
      { position: 0n, chain: '0'.repeat(32), stateHash: '0'.repeat(32) },
    );
    all.push(this);
  }

  /** Applies batches up to this position, whose content is this number. */
  async to(position: bigint, content = 1): Promise<void> {
    while (this.state.position < position) {
      this.state.position++;
      this.state.chain[0] = Number(this.state.position);
      this.state.stateHash[0] = this.state.stateHash[0]! + content;
      this.proof.applied(this.state);
    }
    await settled();
  }
}

function three(): [Subject, Subject, Subject] {
  const replicas = ['a', 'b', 'c'];
  return [new Subject('a', replicas), new Subject('b', replicas), new Subject('c', replicas)];
}

describe('three replicas', () => {
  test('that are equal find nothing, whoever is ahead', async () => {
    const [a, b, c] = three();
    await a.to(40n);
    await b.to(17n);
    await c.to(30n);
    await b.to(40n);
    await c.to(40n);
    await time.advance(limits.proofWaitMs * 2);
    for (const { halted, mismatches, verified } of [a, b, c])
      expect([halted, mismatches, verified]).toEqual([undefined, 0, 0]);
  });

  test('stop the one that differs, and only that one', async () => {
    const [a, b, c] = three();
    await a.to(3n);
    await a.to(4n, 2);
    await b.to(4n);
    expect(a.halted).toBeUndefined();
    await c.to(4n);
    expect(a.halted).toContain('b, c');
    // It applied the same batches: what it made of them is wrong, and nothing is lost with it.
    expect(a.divergence).toEqual({ decided: true, otherHistory: false });
    await b.to(40n);
    await c.to(40n);
    expect([b.halted, c.halted]).toEqual([undefined, undefined]);
    expect(b.mismatches).toBe(1);
  });

  test('stop the one that applied other batches, and say so', async () => {
    const [a, b, c] = three();
    a.state.chain[1] = 7;
    for (const each of [a, b, c]) await each.to(4n);
    expect(a.halted).toContain('b, c');
    expect(a.divergence).toEqual({ decided: true, otherHistory: true });
    expect([b.halted, c.halted]).toEqual([undefined, undefined]);
  });

  test('of which one is wrong in itself, and of another history too, say so', async () => {
    const [a, b] = three();
    a.differences = ['the partition: hash is 1; the records say 2'];
    a.state.chain[1] = 7;
    await a.to(4n);
    await b.to(4n);
    await time.advance(limits.proofWaitMs + 500);
    expect(a.divergence).toEqual({ decided: true, otherHistory: true });
  });

  test('of which one is silent verify themselves', async () => {
    const [a, b] = three();
    a.differences = ['the partition: hash is 1; the records say 2'];
    await a.to(4n, 2);
    await b.to(4n);
    await time.advance(limits.proofWaitMs - 500);
    expect(a.verified + b.verified).toBe(0);
    await time.advance(1000);
    expect([a.verified, b.verified]).toEqual([1, 1]);
    expect(a.halted).toContain('the records say 2');
    expect(b.halted).toBeUndefined();
  });
});

describe('two replicas that differ', () => {
  function two(): [Subject, Subject] {
    return [new Subject('a', ['a', 'b']), new Subject('b', ['a', 'b'])];
  }

  test('both halt where both are sound', async () => {
    const [a, b] = two();
    await a.to(4n, 2);
    await b.to(4n);
    await time.advance(1000);
    expect(a.halted).toContain('no majority');
    expect(b.halted).toContain('no majority');
  });

  test('go on where the other one is found wrong', async () => {
    const [a, b] = two();
    b.differences = ['something'];
    await a.to(4n, 2);
    await b.to(4n);
    await time.advance(1000);
    expect(b.halted).toContain('something');
    expect(a.halted).toBeUndefined();
    expect(a.verified).toBe(1);
  });

  test('are compared at positions between the fixed ones, by what their nodes report', async () => {
    const [a, b] = two();
    await a.to(2n, 2);
    await b.to(2n);
    expect(b.mismatches).toBe(0);
    b.proof.heard({ node: 'a', incarnation, position: 2n, ...a.proof.hashesAt(2n)! });
    expect(b.mismatches).toBe(1);
    const ahead = { node: 'b', incarnation, position: 3n, chain: '0'.repeat(32), stateHash: '0'.repeat(32) };
    a.proof.heard(ahead);
    expect(a.mismatches).toBe(0);
    await a.to(3n);
    expect(a.mismatches).toBe(1);
  });

  test('of which one does not answer: the other goes on', async () => {
    const a = new Subject('a', ['a', 'b']);
    await a.to(4n);
    exchange.publish(0, {
      kind: 'proof',
      node: 'b',
      incarnation,
      position: 4n,
      chain: '0'.repeat(32),
      stateHash: '0'.repeat(32),
    });
    await time.advance(limits.proofVerdictMs + 1000);
    expect(a.verified).toBe(1);
    expect(a.halted).toBeUndefined();
    expect(time.pending).toBe(0);
  });
});

test('replicas of other logs are not compared', async () => {
  const a = new Subject('a', ['a', 'b']);
  const b = new Subject('b', ['a', 'b'], 'log-2');
  await a.to(8n, 2);
  await b.to(8n);
  expect([a.mismatches, b.mismatches, a.heard.length]).toEqual([0, 0, 0]);
});

test('who asks is told where the others are', async () => {
  const [a, b, c] = three();
  await a.to(3n);
  await b.to(2n);
  c.proof.inquire();
  await settled();
  expect(c.heard).toEqual([
    ['a', 3n],
    ['b', 2n],
  ]);
});

test('what peers say of far positions is bounded', async () => {
  const a = new Subject('a', ['a', 'b']);
  await a.to(1n);
  for (let position = 10n; position < 1000n; position++) {
    a.proof.heard({ node: 'b', incarnation, position, chain: '0', stateHash: '0' });
  }
  await a.to(1000n);
  expect(a.mismatches).toBe(limits.proofVotesMax);
});
