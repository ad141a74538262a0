export { startLocalCluster } from './local-cluster/local-cluster.ts';
export type * from './local-cluster/types.ts';
