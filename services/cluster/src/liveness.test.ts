import { limits } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { Liveness } from './liveness.ts';
import type { NodeReport } from './node-registry.ts';

const silence = limits.nodeSilenceMs;

function report(name: string, boot: string, count: number): NodeReport {
  return {
    name,
    address: 'h:1',
    zone: '',
    version: '',
    boot,
    count,
    epoch: '0',
    draining: false,
    disk: { freeBytes: 0, totalBytes: 0 },
    replicas: [],
  };
}

const liveOf = (liveness: Liveness): string[] =>
  [...liveness.nodes()].flatMap(([name, { live }]) => (live ? [name] : []));

describe('liveness', () => {
  test('at first sight a node is live, and not confirmed', () => {
    const liveness = new Liveness();
    expect(liveness.saw(report('n1', 'a', 7), 0)).toBe(true);
    expect(liveness.nodes().get('n1')).toMatchObject({ live: true, confirmed: false });
  });

  test('silence decides at exactly its limit, on the clock of the watcher alone', () => {
    const liveness = new Liveness();
    liveness.saw(report('n1', 'a', 1), 100);
    expect(liveness.nextMs).toBe(100 + silence);
    expect(liveness.passed(99 + silence)).toBe(false);
    expect(liveOf(liveness)).toEqual(['n1']);
    expect(liveness.passed(100 + silence)).toBe(true);
    expect(liveOf(liveness)).toEqual([]);
    expect(liveness.passed(200 + silence)).toBe(false);
    expect(liveness.nextMs).toBeUndefined();
  });

  test('the same report again is no news', () => {
    const liveness = new Liveness();
    liveness.saw(report('n1', 'a', 1), 0);
    for (let ms = 1000; ms < silence; ms += 1000) expect(liveness.saw(report('n1', 'a', 1), ms)).toBe(false);
    expect(liveness.passed(silence)).toBe(true);
  });

  test('news makes a node live again, and confirms it', () => {
    const liveness = new Liveness();
    liveness.saw(report('n1', 'a', 1), 0);
    liveness.passed(silence);
    expect(liveness.saw(report('n1', 'a', 2), silence + 1)).toBe(true);
    expect(liveness.nodes().get('n1')).toMatchObject({ live: true, confirmed: true });
    liveness.passed(2 * silence + 1);
    expect(liveness.nodes().get('n1')).toMatchObject({ live: false, confirmed: false });
  });

  test('a late report is no news: neither a lower count nor a process that was followed by another', () => {
    const liveness = new Liveness();
    liveness.saw(report('n1', 'a', 5), 0);
    expect(liveness.saw(report('n1', 'a', 4), 1)).toBe(false);
    expect(liveness.saw(report('n1', 'b', 1), 2)).toBe(true);
    expect(liveness.saw(report('n1', 'a', 6), 3)).toBe(false);
    expect(liveness.saw(report('n1', 'c', 1), 4)).toBe(true);
    expect(liveness.saw(report('n1', 'b', 9), 5)).toBe(false);
    expect(liveness.nodes().get('n1')?.report).toMatchObject({ boot: 'c', count: 1 });
  });

  test('an old report read after the first of a new process makes it silent for two reports, not for ever', () => {
    const liveness = new Liveness();
    liveness.saw(report('n1', 'new', 1), 0);
    liveness.saw(report('n1', 'old', 70), 1);
    expect(liveness.nodes().get('n1')?.report.boot).toBe('old');
    expect(liveness.saw(report('n1', 'new', 2), 2)).toBe(false);
    // The old one again, from a server that lags, changes nothing.
    expect(liveness.saw(report('n1', 'old', 70), 3)).toBe(false);
    expect(liveness.saw(report('n1', 'new', 3), 4)).toBe(true);
    expect(liveness.nodes().get('n1')).toMatchObject({
      live: true,
      confirmed: true,
      report: { boot: 'new', count: 3 },
    });
    expect(liveness.saw(report('n1', 'old', 70), 5)).toBe(false);
  });

  test('two processes that both live under one name do not alternate', () => {
    const liveness = new Liveness();
    liveness.saw(report('n1', 'a', 1), 0);
    for (let count = 2; count < 50; count++) {
      liveness.saw(report('n1', 'a', count), count);
      liveness.saw(report('n1', 'b', count), count);
    }
    expect(liveness.nodes().get('n1')?.report.boot).toBe('b');
  });

  test('remembers a bounded number of processes', () => {
    const liveness = new Liveness();
    for (let i = 0; i <= limits.nodeBootsRemembered + 1; i++) liveness.saw(report('n1', `boot ${i}`, 1), i);
    expect(liveness.saw(report('n1', 'boot 1', 2), 100)).toBe(false);
    expect(liveness.saw(report('n1', 'boot 0', 2), 100)).toBe(true);
  });

  test('keeps only who is listed or spoke since', () => {
    const liveness = new Liveness();
    for (const [name, ms] of [
      ['n1', 0],
      ['n2', 0],
      ['n3', 50],
    ] as const)
      liveness.saw(report(name, 'a', 1), ms);
    expect(liveness.keepOnly(new Set(['n1']), 40)).toBe(true);
    expect([...liveness.nodes().keys()]).toEqual(['n1', 'n3']);
    expect(liveness.keepOnly(new Set(['n1']), 40)).toBe(false);
  });

  test('of several nodes the longest silence comes next', () => {
    const liveness = new Liveness();
    liveness.saw(report('n1', 'a', 1), 10);
    liveness.saw(report('n2', 'a', 1), 20);
    liveness.saw(report('n1', 'a', 2), 30);
    expect(liveness.nextMs).toBe(20 + silence);
    expect(liveness.passed(20 + silence)).toBe(true);
    expect(liveOf(liveness)).toEqual(['n1']);
  });
});
