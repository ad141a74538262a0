// A store's settings and allowance as bytes: ConfigureStore of proto/statestore/v1/log.proto.
import type { ConfigureStore } from '../command.ts';
import type { WireReader, WireWriter } from '../wire.ts';

export function writeConfigure(w: WireWriter, configure: Omit<ConfigureStore, 'kind'>): void {
  const { settings, allowanceBytes, allowanceEntries } = configure;
  w.uint(7, configure.settingsVersion);
  if (allowanceBytes !== undefined) w.presentUint(6, allowanceBytes);
  if (allowanceEntries !== undefined) w.presentUint(5, allowanceEntries);
  if (settings.quotaBytes !== undefined) w.presentUint(4, settings.quotaBytes);
  if (settings.quotaEntries !== undefined) w.presentUint(3, settings.quotaEntries);
  w.uint(2, settings.defaultTtlMs);
  w.binary(1, configure.store);
}

export function readConfigure(r: WireReader): ConfigureStore {
  let store = '';
  let defaultTtlMs = 0;
  let quotaEntries: number | undefined;
  let quotaBytes: number | undefined;
  let allowanceEntries: number | undefined;
  let allowanceBytes: number | undefined;
  let settingsVersion = 0;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) store = r.binary();
    else if (field === 2) defaultTtlMs = r.uint();
    else if (field === 3) quotaEntries = r.uint();
    else if (field === 4) quotaBytes = r.uint();
    else if (field === 5) allowanceEntries = r.uint();
    else if (field === 6) allowanceBytes = r.uint();
    else if (field === 7) settingsVersion = r.uint();
    else r.skip();
  }
  return {
    kind: 'configure',
    store,
    settings: { defaultTtlMs, quotaEntries, quotaBytes },
    settingsVersion,
    allowanceEntries,
    allowanceBytes,
  };
}
