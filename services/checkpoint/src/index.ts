export * from './names.ts';
export * from './repository.ts';
