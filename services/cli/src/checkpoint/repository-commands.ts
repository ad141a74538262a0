// `statestore checkpoint list`, `show`, `verify`, `delete`: straight on the repository, with no cluster needed. End
// with 3 where something is damaged, missing or refused.
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { ListedCheckpoint, Repository, Verification } from '@statestore/checkpoint';
import {
  deleteCheckpoint,
  isCheckpointId,
  listCheckpoints,
  openRepository,
  repositoryFrom,
  repositoryTable,
  restorableMoments,
  showCheckpoint,
  verifyArchive,
  verifyCheckpoint,
} from '@statestore/checkpoint';
import { checkClusterName } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import { makeScratchFolder, openScratchEngine } from '@statestore/node';
import { z } from 'zod';
import { accepted } from '../cluster-settings.ts';
import { problemsExitCode } from '../cluster/status.ts';
import { stopSignal } from '../running.ts';
import type { Setting, SettingsOf, SettingTable } from '../settings.ts';
import { flag, readSettings } from '../settings.ts';
import { columns, ProgressLine, sizeOf, timeOf } from './columns.ts';
import { archiveJson, archiveText, momentsJson, momentsText } from './moments.ts';

const placeSettings = {
  ...repositoryTable,
  cluster: {
    schema: accepted(checkClusterName).optional(),
    allowed: '1 to 32 of a-z, 0-9 and -, not at its ends',
    help: 'only checkpoints of this cluster; one of another cluster counts as damaged',
    fallback: 'any',
  } satisfies Setting<string | undefined>,
  json: flag('one JSON document'),
};

const idSettings = {
  id: {
    schema: z.string().refine((text) => text === 'latest' || isCheckpointId(text)),
    allowed: 'a UUID as `statestore checkpoint list` shows it, or latest',
    help: 'the checkpoint',
    operand: true,
  } satisfies Setting<string>,
  ...placeSettings,
};

const verifySettings = {
  ...idSettings,
  drill: flag('also restores it, into engines that are thrown away, and compares counts and hashes'),
  scratch: {
    schema: z.string().min(1).default(tmpdir()),
    allowed: 'the path of a folder',
    help: 'where a drill restores it to; it takes as much as the largest partition',
    fallback: tmpdir(),
  } satisfies Setting<string>,
  withoutArchive: flag('what is archived after it is not looked at'),
};

type Place = SettingsOf<typeof placeSettings>;
type OneCheckpoint = SettingsOf<typeof idSettings>;
export interface At<Settings> {
  readonly settings: Settings;
  readonly repository: Repository;
  readonly signal: AbortSignal;
}

export const list = command<Place>('list', 'Lists the checkpoints of a repository.', placeSettings, async (at) => {
  const { json } = at.settings;
  const listed = await listOf(at);
  const damaged = listed.filter(({ state }) => state === 'damaged');
  const moments = await restorableMoments({ ...at, cluster: at.settings.cluster });
  const { location } = at.repository;
  print(json, { repository: location, checkpoints: listed.map(jsonOf), moments: momentsJson(moments) }, () =>
    [tableOf(listed), ...momentsText(moments)].join('\n'),
  );
  if (damaged.length > 0) process.exitCode = problemsExitCode;
});

export const show = command<OneCheckpoint>('show', 'Shows one checkpoint.', idSettings, async (at) => {
  const { cluster, json } = at.settings;
  const shown = await showCheckpoint({ ...at, cluster, id: await idOf(at) });
  if (shown.state === 'damaged') {
    print(json, jsonOf(shown), () => `${shown.id} is damaged: ${shown.damage.message}`);
    process.exitCode = problemsExitCode;
    return;
  }
  if (!('manifest' in shown)) throw absent(shown.id, shown.state);
  const partitions = shown.manifest.partitions.map((each) => ({
    partition: each.partition,
    slots: each.slots.map(({ start, end }) => `${start}-${end - 1}`).join(','),
    generation: each.generation,
    incarnation: each.incarnation,
    position: String(each.position),
    entries: Number(each.entries),
    bytes: Number(each.bytes),
    storedBytes: Number(each.storedBytes),
    uploadedBytes: Number(each.uploadedBytes),
    stateHash: Buffer.from(each.stateHash).toString('hex'),
  }));
  const rows = partitions.map((each) => [
    String(each.partition),
    each.slots,
    each.position,
    String(each.entries),
    sizeOf(each.storedBytes),
    sizeOf(each.uploadedBytes),
    each.stateHash,
  ]);
  const head = ['PARTITION', 'SLOTS', 'POSITION', 'ENTRIES', 'STORED', 'UPLOADED', 'STATE HASH'];
  const moments = await restorableMoments({ ...at, checkpoint: shown.id });
  const { lineage, parentLineage } = shown.manifest;
  const lineages = {
    ...(lineage === '' ? {} : { lineage }),
    ...(parentLineage === '' ? {} : { parentLineage }),
  };
  const ofLineage =
    lineage === '' ? [] : [`lineage ${lineage}${parentLineage === '' ? '' : `, made from ${parentLineage}`}`];
  print(json, { ...jsonOf(shown), ...lineages, partitionList: partitions, moments: momentsJson(moments) }, () =>
    [tableOf([shown]), ...ofLineage, '', columns([head, ...rows]), '', ...momentsText(moments)].join('\n'),
  );
});

export const verify = command<SettingsOf<typeof verifySettings>>(
  'verify',
  'Reads a checkpoint and proves it.',
  verifySettings,
  async (at) => {
    const { cluster, json, drill, scratch } = at.settings;
    const line = new ProgressLine(process.stderr);
    const folder = await makeScratchFolder(scratch);
    try {
      const found = await verifyCheckpoint({
        ...at,
        cluster,
        id: await idOf(at),
        drill: drill ? (partition) => openScratchEngine(join(folder.path, String(partition))) : undefined,
        turn: () => (at.signal.aborted ? Promise.reject(at.signal.reason as Error) : undefined),
        onProgress: ({ partition, part, storedBytes }) =>
          line.show(`${(part * 100).toFixed(0)} %  partition ${partition}, ${sizeOf(storedBytes)} read`),
      });
      if (found.state === 'none' || found.state === 'deleted') throw absent(found.id, found.state);
      const after = at.settings.withoutArchive ? undefined : await archiveAfter(at, found.id, line);
      line.clear();
      const restored = found.restored.map((each) => ({ ...each, position: String(each.position) }));
      print(json, { ...found, restored, ...after?.json }, () =>
        [verdictOf(found, drill), ...(after?.text ?? [])].join('\n'),
      );
      if (found.state !== 'good' || after?.isGood === false) process.exitCode = problemsExitCode;
    } finally {
      line.clear();
      await folder.dispose();
    }
  },
);

interface ArchiveAfter {
  readonly isGood: boolean;
  readonly json: object;
  readonly text: readonly string[];
}

/** Undefined where the checkpoint itself cannot be read. */
async function archiveAfter(at: At<Place>, id: string, line: ProgressLine): Promise<ArchiveAfter | undefined> {
  const { cluster } = at.settings;
  const shown = await showCheckpoint({ ...at, cluster, id });
  if (!('manifest' in shown)) return undefined;
  const archive = await verifyArchive({
    ...at,
    manifest: shown.manifest,
    onProgress: ({ partition, position }) => line.show(`archive of partition ${partition}, at ${position}`),
  });
  const moments = await restorableMoments({ ...at, checkpoint: id });
  return {
    isGood: archive.findingsTotal === 0,
    json: { archive: archiveJson(archive), moments: momentsJson(moments) },
    text: [...archiveText(archive), ...momentsText(moments)],
  };
}

export const remove = command<OneCheckpoint>(
  'delete',
  'Deletes a checkpoint; its objects go later.',
  idSettings,
  async (at) => {
    const { cluster, json, id } = at.settings;
    if (id === 'latest')
      throw new StateStoreError('invalid_settings', '<id> is latest; a checkpoint is deleted by its id');
    const by = `${userInfo().username}, statestore checkpoint delete`;
    const { outcome, ...more } = await deleteCheckpoint({ ...at, cluster, id, by, nowMs: Date.now });
    if (outcome === 'none') throw absent(id, 'none');
    const why = 'why' in more ? `: ${more.why}` : '';
    const words = { deleted: 'is deleted', already_deleted: 'was deleted before', refused: 'stays' } as const;
    print(json, { id, outcome, ...more }, () => `checkpoint ${id} ${words[outcome]}${why}`);
    if (outcome === 'refused') process.exitCode = problemsExitCode;
  },
);

/* oxlint-disable-next-line max-params -- what it is called, what it says of itself, what it is told, what it does */
export function command<Settings extends Parameters<typeof repositoryFrom>[0]>(
  name: string,
  description: string,
  table: SettingTable,
  work: (at: At<Settings>) => Promise<void>,
): (argv: readonly string[]) => Promise<void> {
  return async (argv) => {
    const read = readSettings(`statestore checkpoint ${name}`, description, table, { argv, env: process.env });
    if (read === undefined) return;
    const settings = read as unknown as Settings;
    const place = repositoryFrom(settings);
    if (place === undefined) {
      throw new StateStoreError('invalid_settings', 'no repository is named', {
        hint: 'say where checkpoints are kept: --repository, or --repository-type',
      });
    }
    const signal = stopSignal();
    const repository = await openRepository(place);
    try {
      await work({ settings, repository, signal });
    } finally {
      await repository.close();
    }
  };
}

/** Of the cluster, where one is named; and those that are damaged, whosever they are. */
async function listOf({ settings: { cluster }, repository, signal }: At<Place>): Promise<ListedCheckpoint[]> {
  const listed = await listCheckpoints({ repository, signal });
  return listed.filter((each) => each.state === 'damaged' || cluster === undefined || each.cluster === cluster);
}

async function idOf(at: At<OneCheckpoint>): Promise<string> {
  const { repository, settings } = at;
  const { id } = settings;
  if (id !== 'latest') return id;
  const [newest] = await listOf(at);
  if (newest !== undefined) return newest.id;
  throw new StateStoreError('checkpoint_not_found', `${repository.location} has no checkpoint`);
}

function absent(id: string, state: 'none' | 'deleted'): StateStoreError {
  const what = state === 'none' ? `there is no checkpoint ${id}` : `the checkpoint ${id} is deleted`;
  return new StateStoreError('checkpoint_not_found', what, { hint: '`statestore checkpoint list` shows them' });
}

function jsonOf(listed: ListedCheckpoint): object {
  if (listed.state === 'damaged')
    return { id: listed.id, state: 'damaged', modifiedAtMs: listed.modifiedAtMs, damage: listed.damage.message };
  const { id, state, cluster, startedAtMs, completedAtMs, conductor, version, previous, partitions, totals } = listed;
  return {
    id,
    state,
    cluster,
    startedAt: new Date(startedAtMs).toISOString(),
    completedAt: new Date(completedAtMs).toISOString(),
    trigger: triggerOf(listed),
    conductor,
    version,
    ...(previous === undefined ? {} : { previous }),
    partitions,
    entries: Number(totals.entries),
    bytes: Number(totals.bytes),
    storedBytes: Number(totals.storedBytes),
    uploadedBytes: Number(totals.uploadedBytes),
  };
}

const triggers = ['unknown', 'manual', 'schedule', 'shutdown', 'restore'] as const;

function triggerOf(listed: ListedCheckpoint): string {
  return listed.state === 'complete' ? (triggers[listed.trigger] ?? 'unknown') : '';
}

function tableOf(listed: readonly ListedCheckpoint[]): string {
  if (listed.length === 0) return 'No checkpoints.';
  const head = ['CHECKPOINT', 'COMPLETE SINCE', 'CLUSTER', 'BY', 'PARTITIONS', 'ENTRIES', 'STORED', 'UPLOADED'];
  const rows = listed.map((each) => {
    if (each.state === 'damaged') return [each.id, `damaged: ${each.damage.message}`, '', '', '', '', '', ''];
    const { id, completedAtMs, cluster, partitions, totals } = each;
    const { entries, storedBytes, uploadedBytes } = totals;
    const sizes = [sizeOf(Number(storedBytes)), sizeOf(Number(uploadedBytes))];
    return [id, timeOf(completedAtMs), cluster, triggerOf(each), String(partitions), String(entries), ...sizes];
  });
  const damaged = listed.filter(({ state }) => state === 'damaged').length;
  return [columns([head, ...rows]), ...(damaged === 0 ? [] : ['', damageHint(damaged)])].join('\n');
}

function damageHint(count: number): string {
  const what = count === 1 ? '1 checkpoint is damaged' : `${count} checkpoints are damaged`;
  return `${what}: nothing is cleared up in this repository until a day after it was deleted (docs/operations.md)`;
}

function verdictOf(found: Verification, drill: boolean): string {
  const { id, state, partitions, blocks, records, storedBytes, findings, findingsTotal, restored } = found;
  const read = `${partitions} partitions, ${blocks} blocks, ${records} records, ${sizeOf(storedBytes)}`;
  const drilled = drill ? [`restored and proved: ${restored.length} of ${partitions} partitions`] : [];
  if (state === 'good') return [`checkpoint ${id} is good: ${read}`, ...drilled].join('\n');
  const lines = findings.map(({ object, what }) => `  ${what.startsWith(object) ? what : `${object}: ${what}`}`);
  const more = findingsTotal > findings.length ? [`  and ${findingsTotal - findings.length} more`] : [];
  return [`checkpoint ${id} is damaged:`, ...lines, ...more, `good of it: ${read}`, ...drilled].join('\n');
}

export function print(json: boolean, document: unknown, text: () => string): void {
  process.stdout.write(`${json ? JSON.stringify(document, undefined, 2) : text()}\n`);
}
