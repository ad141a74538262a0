export * from './binary-string.ts';
export * from './change.ts';
export * from './command.ts';
export * from './errors.ts';
export * from './hash.ts';
export * as limits from './limits.ts';
export * from './result.ts';
export * from './slots.ts';
export * from './topology.ts';
