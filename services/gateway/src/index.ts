export { buildGateway, type Gateway } from './app.ts';
export {
  defaultTimeouts,
  type GatewayLog,
  type GatewayOptions,
  type GatewayTimeouts,
  type NodeDirectory,
} from './options.ts';
export { type ClusterGateway, type ClusterGatewayOptions, openClusterGateway } from './cluster/open.ts';
