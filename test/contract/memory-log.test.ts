// The logs in memory that tests of cluster nodes share, against the contract of every log.
import { MemoryLogs } from '../../services/node/src/testing/memory-logs.ts';
import { logContract } from './log-contract.ts';

logContract('in memory', async () => {
  const logs = new MemoryLogs();
  const log = await logs.create({ partition: 0, generation: 1, replicas: 1 });
  return { open: () => logs.open(0, log), dispose: () => logs.remove(0, 1) };
});
