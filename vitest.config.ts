import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Two cores: more workers only make timing worse.
    maxWorkers: 2,
    projects: [
      { extends: true, test: { name: 'unit', include: ['services/*/src/**/*.test.ts', 'test/tidy.test.ts'] } },
      { extends: true, test: { name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 30_000 } },
      { extends: true, test: { name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 300_000 } },
      { extends: true, test: { name: 'process', include: ['test/process/**/*.test.ts'], testTimeout: 300_000, hookTimeout: 120_000 } },
    ],
  },
});
