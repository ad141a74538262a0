export {
  decodeCheckpointManifest,
  decodePartitionManifest,
  encodeCheckpointManifest,
  encodePartitionManifest,
  type ManifestExpectation,
  readPartitionManifest,
  storedBytesOf,
} from './manifest-codec.ts';
export { MemoryRepository } from './memory-repository.ts';
export * from './names.ts';
export * from './repository.ts';
export { checkpointFormat, seal, unseal } from './sealed.ts';
