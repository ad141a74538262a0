import { evenTopology } from '@statestore/core';
import { describe, expect, test } from 'vitest';
import { decodeNodeReport, encodeNodeReport } from './node-report-codec.ts';
import type { NodeReport } from './node-registry.ts';

const report: NodeReport = {
  name: 'n1',
  address: 'h:1',
  zone: 'z',
  version: '1',
  boot: 'b',
  count: 4,
  epoch: '12',
  draining: true,
  disk: { freeBytes: 1, totalBytes: 2 },
  replicas: [
    {
      partition: 0,
      state: 'running',
      reason: '',
      incarnation: 'i',
      appliedPosition: '18446744073709551615',
      storedPosition: '0',
      heardPosition: '18446744073709551615',
      lag: 0,
      chain: 'c',
      stateHash: 's',
      entries: 1,
      bytes: 2,
      durable: true,
      holdsLog: true,
      operations: 12,
      passed: [{ position: '7', chain: 'f'.repeat(32) }, { position: '2' }],
      build: { source: 'checkpoint', from: 'id', records: 5, bytes: 600, part: 0.5, remainingMs: 70 },
    },
  ],
  kept: [{ partition: 3, path: 'partitions/3/aside-1', why: 'another history', bytes: 4096 }],
  reshapes: [
    { id: 'r', state: 'near', position: '18446744073709551615', entries: 3, bytes: 40, part: 0.5, why: '' },
    { id: 's', state: 'failed', position: '0', entries: 0, bytes: 0, why: 'the disk is full' },
  ],
  lastTopology: { ...evenTopology(2, ['n1']), epoch: 12n },
};

const text = new TextDecoder().decode(encodeNodeReport(report));
const decode = (json: string): NodeReport => decodeNodeReport(new TextEncoder().encode(json));

describe("a node's report", () => {
  test('comes back as it was', () => {
    expect(decodeNodeReport(encodeNodeReport(report))).toEqual(report);
    const { lastTopology: _, kept: __, reshapes: ___, ...plain } = report;
    expect(decodeNodeReport(encodeNodeReport(plain))).toEqual(plain);
  });

  test('of a version that says more is taken', () => {
    const more = text.replace('"count":4', '"count":4,"news":[1]').replace('"lag":0', '"lag":0,"news":{}');
    expect(decode(more)).toEqual(report);
  });

  test.each<[string, string, string]>([
    ['is of another format', text.replace('"format":1', '"format":2'), 'format 2'],
    ['is cut', text.slice(0, -9), 'not JSON'],
    ['is no object', '7', 'no object'],
    ['has no address', text.replace('"address":"h:1",', ''), 'address'],
    ['counts in text', text.replace('"count":4', '"count":"4"'), 'count'],
    ['has a position that is none', text.replace('"storedPosition":"0"', '"storedPosition":"-1"'), 'storedPosition'],
    ['has heard of a position that is none', text.replace('"heardPosition":"1', '"heardPosition":"x'), 'heardPosition'],
    ['has passed a position that is none', text.replace('"position":"7"', '"position":7'), 'position'],
    ['has an epoch that is none', text.replace('"epoch":"12","draining"', '"epoch":"x","draining"'), 'epoch'],
    [
      'has built up to a position that is none',
      text.replace('"near","position":"1', '"near","position":"-'),
      'position',
    ],
    ['has no disk', text.replace('"disk":{', '"disc":{'), 'disk'],
    ['has a topology that makes no sense', text.replace('"partition":1,', '"partition":0,'), 'two partitions 0'],
    ['has a name that cannot be', text.replace('"name":"n1"', '"name":"N1"'), 'N1'],
  ])('that %s is refused, saying so', (_, json, says) => {
    expect(json).not.toBe(text);
    expect(() => decode(json)).toThrow(says);
  });
});
