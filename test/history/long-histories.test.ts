// The checker decides long histories: thousands of operations of one key, hundreds of unknown outcomes.
import { expect, test } from 'vitest';
import { checkHistory } from './history-checker.ts';
import { simulateHistory, simulatedAccounts } from './simulated-history.ts';

const registers = (seed: number) =>
  simulateHistory(seed, 12_000, 20).filter(({ use, operation }) => use === 'register' && operation.kind !== 'scan');

test('thousands of operations of a register, some of unknown outcome, are decided', () => {
  for (const seed of [1, 2, 3]) {
    const events = registers(seed);
    const ofKey = events.filter(({ key }) => key === 'r0');
    expect(ofKey.length).toBeGreaterThan(2000);
    expect(ofKey.filter(({ outcome }) => outcome === 'unknown').length).toBeGreaterThan(100);
    expect(checkHistory(events, { accounts: simulatedAccounts })).toEqual([]);
  }
});

test('and one wrong read among them is found', () => {
  for (const seed of [1, 2, 3]) {
    const events = registers(seed);
    const reads = events.filter(
      ({ key, operation, consistency, result }) =>
        key === 'r0' && operation.kind === 'read' && consistency === 'strong' && typeof result === 'string',
    );
    const [early, late] = [reads[10]!, reads.at(-10)!];
    const { revision: _, ...wrong } = { ...late, result: early.result! };
    const damaged = events.map((event) => (event === late ? wrong : event));
    const rules = checkHistory(damaged, { accounts: simulatedAccounts }).map(({ rule }) => rule);
    expect(rules.length).toBeGreaterThan(0);
    expect(rules).not.toContain('undecided');
  }
});

test('thousands of transfers with their audits are decided', () => {
  for (const seed of [1, 2, 3]) {
    // Clients repeat a transfer until it is answered: unknown ones are rare.
    const events = simulateHistory(seed, 20_000, 20, 0.004).filter(({ use }) => use === 'account');
    expect(events.length).toBeGreaterThan(2000);
    expect(events.some(({ outcome }) => outcome === 'unknown')).toBe(true);
    expect(checkHistory(events, { accounts: simulatedAccounts })).toEqual([]);
  }
});
