// `statestore checkpoint collect`: clears a repository up, as nodes do, also one that is full, or that no node looks after.
// Ends with 3 where nothing may be removed, and says why.
import { collectArchive, collectGarbage, keepRoom, repositoryTable } from '@statestore/checkpoint';
import { limits } from '@statestore/core';
import { duration } from '../checkpoint-settings.ts';
import { problemsExitCode } from '../cluster/status.ts';
import { flag, type SettingsOf } from '../settings.ts';
import { sizeOf } from './columns.ts';
import { command, print } from './repository-commands.ts';

const collectSettings = {
  ...repositoryTable,
  grace: duration(
    'how long ago it must have been deleted, or begun and left; shorter ends checkpoints that are being made, and restores',
    `${limits.checkpointGraceMs / 3600_000}h`,
  ),
  dryRun: flag('only tells of checkpoints what would go; what was begun and left is given up nevertheless'),
  json: flag('one JSON document'),
};

export const collect = command<SettingsOf<typeof collectSettings>>(
  'collect',
  'Removes what nothing in the repository needs any more.',
  collectSettings,
  async ({ settings, repository, signal }) => {
    const { json, dryRun, grace: graceMs = limits.checkpointGraceMs } = settings;
    const garbage = await collectGarbage({ repository, graceMs, dryRun, signal });
    const archive = dryRun ? undefined : await collectArchive(repository, { signal });
    if (!dryRun) await keepRoom(repository, { signal });
    const lines = [
      garbage.outcome === 'blocked'
        ? ['nothing of checkpoints may be removed:', ...garbage.why.map((why) => `  ${why}`)].join('\n')
        : `${dryRun ? 'would remove' : 'removed'} ${garbage.objects} objects of checkpoints: ${garbage.blocks} blocks, ${sizeOf(garbage.blockBytes)}`,
    ];
    if (archive?.outcome === 'blocked') lines.push(`nothing of the archive may be removed: ${archive.why}`);
    else if (archive !== undefined)
      lines.push(`removed ${archive.segments} segments of the archive, ${sizeOf(archive.bytes)}`);
    print(json, { checkpoints: garbage, ...(archive === undefined ? {} : { archive }) }, () => lines.join('\n'));
    if (garbage.outcome === 'blocked' || archive?.outcome === 'blocked') process.exitCode = problemsExitCode;
  },
);
