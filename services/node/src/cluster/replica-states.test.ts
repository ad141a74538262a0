import { describe, expect, test } from 'vitest';
import type { ReplicaEvent, ReplicaState } from './replica-states.ts';
import { nextState, replicaStates } from './replica-states.ts';

const states = Object.keys(replicaStates) as ReplicaState[];
const events = Object.keys(replicaStates.absent) as ReplicaEvent[];

/** From `from`, by any event but those that `without` names. */
function reachable(from: ReplicaState, without: readonly ReplicaEvent[] = []): Set<ReplicaState> {
  const seen = new Set<ReplicaState>([from]);
  for (const state of seen) {
    for (const event of events) {
      const next = replicaStates[state][event];
      if (!without.includes(event) && next !== 'never' && next !== 'ignore') seen.add(next);
    }
  }
  return seen;
}

describe('the table of a replica', () => {
  test('reaches every state from absent, and absent from every state', () => {
    expect([...reachable('absent')].toSorted()).toEqual(states.toSorted());
    for (const state of states) expect(reachable(state).has('absent')).toBe(true);
  });

  test('lets go wherever the replica is not wanted any more', () => {
    for (const state of states) {
      const next = nextState(state, 'unwanted');
      expect(next, state).toBe(state === 'absent' ? 'absent' : 'closing');
    }
  });

  test('never follows another log without opening again', () => {
    for (const state of states.filter((each) => each !== 'absent')) {
      expect(nextState(state, 'relogged'), state).toBe('closing');
    }
  });

  test('never runs without having been judged and caught up', () => {
    for (const state of states) {
      for (const event of events) {
        if (replicaStates[state][event] === 'running') expect([state, event]).toEqual(['starting', 'caughtUp']);
        if (replicaStates[state][event] === 'starting') expect([state, event]).toEqual(['opening', 'ready']);
      }
    }
    expect(reachable('copying', ['ready']).has('running')).toBe(false);
  });

  test('leaves a halt only for a new judgement', () => {
    for (const event of events) {
      const next = replicaStates.halted[event];
      expect(['closing', 'ignore', 'never'], event).toContain(next);
    }
  });

  test('says what cannot be', () => {
    expect(() => nextState('absent', 'caughtUp')).toThrow('absent');
  });
});
