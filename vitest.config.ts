// What `npm test` runs, and what of it at the same time. On two cores two tests that compute are as fast as four, but
// those that start processes mostly wait for something: four at a time keep the cores busy.
import { existsSync, statfsSync } from 'node:fs';
import { freemem, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const report = process.env['STATESTORE_TEST_REPORT'];

const gibibyte = 2 ** 30;
const memoryFolder = '/dev/shm';
/** More than all temporary folders of a run take at once. */
const memoryFolderBytesMin = 6 * gibibyte;
/** Linux: from then on a file system in memory has extended attributes, in which an S3 server keeps what it knows. */
const memoryFolderSince = [6, 6] as const;

/**
 * Where temporary folders of tests are that start servers which sync each write, and are not about that: in memory, if
 * there is much of it. What a process wrote outlives its kill -9 there as well. Tests of processes stay on the disk.
 */
function temporaryFolder(): string {
  const given = process.env['TMPDIR'];
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const isOld = major < memoryFolderSince[0] || (major === memoryFolderSince[0] && minor < memoryFolderSince[1]);
  if (given !== undefined || isOld || !existsSync(memoryFolder) || freemem() < memoryFolderBytesMin) return tmpdir();
  const { bavail, bsize } = statfsSync(memoryFolder);
  return bavail * bsize < memoryFolderBytesMin ? tmpdir() : memoryFolder;
}

/** Of processes that tests start: compiling the sources again at each start would be half of a start. */
const compiled = { NODE_COMPILE_CACHE: join(tmpdir(), 'statestore-compile-cache') };
const inMemory = { ...compiled, TMPDIR: temporaryFolder() };

export default defineConfig({
  test: {
    maxWorkers: 4,
    setupFiles: ['test/servers/own-ports.ts'],
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['services/*/src/**/*.test.ts', 'bench/**/*.test.ts', 'test/*.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'contract',
          include: ['test/contract/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          env: inMemory,
        },
      },
      {
        extends: true,
        test: {
          name: 'sim',
          include: ['test/sim/**/*.test.ts', 'test/history/**/*.test.ts', 'test/torture/**/*.test.ts'],
          testTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'process',
          include: ['test/process/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          env: compiled,
        },
      },
      {
        extends: true,
        test: {
          name: 'cluster',
          include: ['test/cluster/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 180_000,
          // Each file runs eight processes, under a load that leaves half of two cores idle: two files at a time,
          // after everything else.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          env: inMemory,
        },
      },
      {
        extends: true,
        test: {
          name: 'containers',
          include: ['test/containers/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
