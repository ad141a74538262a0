export * from './names.ts';
export type * from './log-streams.ts';
export type * from './node-registry.ts';
export type * from './topology-store.ts';
export type { NatsServerSettings } from './nats-config.ts';
export { natsServerConfig } from './nats-config.ts';
export * from './topology-codec.ts';
