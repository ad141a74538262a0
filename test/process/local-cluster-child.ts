// Starts a local cluster and says who is in it; for a test that kills whoever runs one.
import { startLocalCluster } from '@statestore/cli';

const cluster = await startLocalCluster({
  natsServers: 1,
  nodes: 0,
  gateways: 0,
  init: false,
  network: 'namespaces',
  dataTmpfsBytes: () => 32 * 1024 * 1024,
});
process.stdout.write(`${JSON.stringify({ folder: cluster.folder, pids: cluster.processes.map(({ pid }) => pid) })}\n`);
setInterval(() => {}, 1000);
