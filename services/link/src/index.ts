export type * from './node-service.ts';
