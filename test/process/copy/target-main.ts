// A process that copies partition 0 of a node into an engine of its own, and says how far it is, a line of
// JSON each: `Said`. Started, killed, paused and starved by run-target.ts.
import { loadState, StateStoreError } from '@statestore/core';
import { connectLink } from '@statestore/link';
import { copyFromPeer } from '../../../services/node/src/copy/copy-from-peer.ts';
import { openEngine } from '../../../services/node/src/engine/open-engine.ts';
import type { Found, Said } from './said.ts';

const [kind, folder, port, only] = process.argv.slice(2);
const say = (said: Said): boolean => process.stdout.write(`${JSON.stringify(said)}\n`);

/** What a start finds. */
function found(engine: Awaited<ReturnType<typeof openEngine>>): Found {
  const { entries, position } = loadState(engine);
  if (engine.position !== position) throw new Error(`the engine says ${engine.position}, its head ${position}`);
  return { position: String(position), entries, records: engine.statistics().length };
}

const engine = await openEngine(kind === 'memory' ? 'memory' : 'lmdb', folder!);
say({ found: found(engine) });
if (only !== 'look') {
  const link = connectLink({ host: '127.0.0.1', port: Number(port), heartbeatMs: 500, silenceMs: 2000 });
  const { signal } = new AbortController();
  const began = performance.now();
  let told = 0;
  let takenMs = 0;
  try {
    const copied = await copyFromPeer({
      source: link.copyState(0, { signal }),
      engine,
      signal,
      onProgress: ({ records, bytes }) => {
        takenMs = performance.now() - began;
        if (takenMs - told < 20) return;
        told = takenMs;
        say({ progress: { records, bytes } });
      },
    });
    const { records, bytes, chain, stateHash } = copied;
    const ms = performance.now() - began;
    say({ copied: { position: String(copied.position), records, bytes, chain, stateHash, ms, takenMs } });
  } catch (error) {
    if (!(error instanceof StateStoreError)) throw error;
    say({ failed: { code: error.code, retryable: error.retryable, message: error.message } });
    say({ found: found(engine) });
  }
  await link.close();
}
await engine.close();
