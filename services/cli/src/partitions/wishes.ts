// `statestore partitions pause`, `resume`, `cancel`: what a person wants of a resize that is under way. The wish is in the
// topology from then on; nodes heed it, and nobody has to stay for that.
import { changeTopology, resizeCancelled, resizePaused } from '@statestore/cluster';
import type { Topology } from '@statestore/core';
import { clusterSettings } from '../cluster-settings.ts';
import { withCluster } from '../cluster/command.ts';
import { readSettings } from '../settings.ts';

interface Wish {
  readonly help: string;
  readonly edit: (topology: Topology) => Partial<Omit<Topology, 'epoch'>> | undefined;
  /** `before`: as it was found. */
  readonly done: (now: Topology) => string;
  readonly asBefore: string;
}

const wishes = {
  pause: {
    help: 'Begins no further split or merge until it is resumed; those under way are brought to their end.',
    edit: (topology) => resizePaused(topology, true),
    done: (now) => `Paused.${underWay(now, 'is brought to its end', 'are brought to their end')}`,
    asBefore: 'It is paused already.',
  },
  resume: {
    help: 'Goes on with splits and merges.',
    edit: (topology) => resizePaused(topology, false),
    done: () => 'It goes on.',
    asBefore: 'It is not paused.',
  },
  cancel: {
    help: 'Gives a resize up: as many partitions as there are now stay.',
    edit: resizeCancelled,
    done: (now) =>
      `Given up; there are ${now.partitions.length} partitions.${underWay(now, 'is taken back, or brought to its end where it has gone too far', 'are taken back, or brought to their end where they have gone too far')}`,
    asBefore: 'There is nothing to give up.',
  },
} satisfies Record<string, Wish>;

function underWay({ reshapes = [] }: Topology, one: string, many: string): string {
  if (reshapes.length === 0) return '';
  return reshapes.length === 1 ? ` One split or merge ${one}.` : ` ${reshapes.length} splits and merges ${many}.`;
}

async function carryOut(name: keyof typeof wishes, argv: readonly string[]): Promise<void> {
  const { help, edit, done, asBefore }: Wish = wishes[name];
  const settings = readSettings(`statestore partitions ${name}`, help, clusterSettings, { argv, env: process.env });
  if (settings === undefined) return;
  await withCluster(settings, `partitions-${name}`, async ({ topologyStore }) => {
    const { changed, topology } = await changeTopology(topologyStore, edit);
    process.stdout.write(`${changed ? done(topology) : asBefore}\n`);
  });
}

export const pause = (argv: readonly string[]): Promise<void> => carryOut('pause', argv);
export const resume = (argv: readonly string[]): Promise<void> => carryOut('resume', argv);
export const cancel = (argv: readonly string[]): Promise<void> => carryOut('cancel', argv);
