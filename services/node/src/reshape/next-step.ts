// What a node is to do next in a split or a merge, as a pure function of what it sees: of the source's replica here, of
// the target's, of its own work, and of what the others report. Nothing else is remembered: whoever comes after a crash
// sees the same, and goes on. How it is seen and done is reshape-run.ts.

export type SourcePhase =
  /** No replica of it runs here. */
  | 'away'
  /** Its slots are written to. */
  | 'open'
  /** Another reshape has fenced it. */
  | 'otherFence'
  | 'fenced'
  /** From here on it only goes forward. */
  | 'handedOver'
  /** It ended there without that, and cannot be fenced any more. */
  | 'givenUp';

/** Of a merge; of a split always `away`: there is none yet. */
export type TargetPhase =
  | 'away'
  /** Its state does not say which slots it owns: what is staged would be taken for its own. */
  | 'unprepared'
  | 'open'
  | 'otherFence'
  | 'absorbed';

export type WorkPhase =
  | 'none'
  /** Not near yet. */
  | 'building'
  /** Only what is written now is missing. */
  | 'near'
  /** As of the fence, and durable. */
  | 'built'
  | 'failed';

/** Of the log of a split's child, as far as this process made sure. */
export type LogPhase = 'unknown' | 'made' | 'begun';

export interface ReshapeSituation {
  readonly kind: 'split' | 'merge';
  readonly cancelled: boolean;
  readonly source: SourcePhase;
  readonly target: TargetPhase;
  readonly work: WorkPhase;
  readonly log: LogPhase;
  /** Of a merge: stores whose entries cannot be staged yet. */
  readonly lacksStores: boolean;
  /** Of a merge: the target was told what the source remembers of clients' requests. */
  readonly remembered: boolean;
  /** Whether this node is the one that acts for all: by the order of the topology, and by who is silent. */
  readonly drives: boolean;
  /** All other running replicas are near, or were waited for long enough. */
  readonly othersNear: boolean;
  /** All that were near are built, or were waited for long enough. */
  readonly othersBuilt: boolean;
  /** What changed meanwhile was not taken over for a while. */
  readonly roundDue: boolean;
  /** An attempt failed, and the next one is not due. */
  readonly tooEarly: boolean;
  readonly fencedTooLong: boolean;
}

/** Done by each node for itself. */
export type OwnDeed = 'begin' | 'round' | 'finish' | 'discard';
/** Done by the one that drives. */
export type DriverDeed =
  /** The target gets keyspaces for the stores of what is staged. */
  | 'prepare'
  /** The child's log is made. */
  | 'makeLog'
  | 'fence'
  /** The child's log is told at which position it begins. */
  | 'startLog'
  | 'remember'
  | 'handOver'
  | 'absorb'
  /** The topology says how it ended. */
  | 'change'
  | 'unfence'
  /** The source is told never to be fenced by it any more. */
  | 'giveUp'
  /** The topology forgets it. */
  | 'drop';

export type Deed = OwnDeed | DriverDeed;

export type Step = { readonly kind: Deed } | { readonly kind: 'wait'; readonly for: string };

export function nextStep(seen: ReshapeSituation): Step {
  switch (seen.source) {
    case 'away':
      return waitFor('its source, which does not run here');
    case 'otherFence':
      return waitFor('another reshape of its source');
    case 'givenUp':
      return byDriver(seen, 'drop', 'the topology, since it was given up');
    case 'open':
      return whileOpen(seen);
    case 'fenced':
      return whileFenced(seen);
    case 'handedOver':
      return seen.kind === 'split' ? afterSplit(seen) : afterMerge(seen);
  }
}

function waitFor(what: string): Step {
  return { kind: 'wait', for: what };
}

function byDriver({ drives }: ReshapeSituation, kind: DriverDeed, what: string): Step {
  return drives ? { kind } : waitFor(what);
}

/** Why a merge cannot go on by what its target is; undefined: it can. */
function whyNotTarget({ kind, target }: ReshapeSituation): string | undefined {
  if (kind === 'split') return undefined;
  if (target === 'away') return 'its target, which does not run here';
  if (target === 'otherFence') return 'another reshape of its target';
  return undefined;
}

function whileOpen(seen: ReshapeSituation): Step {
  const { kind, target, work, log, drives, roundDue, tooEarly } = seen;
  if (seen.cancelled) return byDriver(seen, 'giveUp', 'the end that was asked for');
  const why = whyNotTarget(seen);
  if (why !== undefined) return waitFor(why);
  // The source has not come as far as its target.
  if (target === 'absorbed') return waitFor('its source, which is behind its target');
  if (kind === 'merge' && target === 'unprepared') return byDriver(seen, 'prepare', 'its target to be prepared');
  switch (work) {
    case 'none':
    case 'failed':
      return tooEarly ? waitFor('the next attempt') : { kind: 'begin' };
    case 'building':
      return { kind: 'round' };
    case 'built':
      // Of a fence that was lifted: what is written since then is not in it.
      return { kind: 'discard' };
    case 'near':
      break;
  }
  if (drives && kind === 'merge' && seen.lacksStores) return { kind: 'prepare' };
  if (drives && kind === 'split' && log === 'unknown') return { kind: 'makeLog' };
  // Right before the fence, so that little is left to be done behind it.
  if (roundDue) return { kind: 'round' };
  if (!drives) return waitFor('the node that drives it');
  if (tooEarly) return waitFor('the next attempt');
  return seen.othersNear ? { kind: 'fence' } : waitFor('other replicas, which are not near yet');
}

function whileFenced(seen: ReshapeSituation): Step {
  const { work, drives, tooEarly, fencedTooLong } = seen;
  if (seen.cancelled && drives) return { kind: 'giveUp' };
  const why = whyNotTarget(seen);
  if (why !== undefined) return drives && fencedTooLong ? { kind: 'unfence' } : waitFor(why);
  if (seen.target === 'absorbed') return waitFor('its source, which is behind its target');
  switch (work) {
    case 'near':
      return drives && fencedTooLong ? { kind: 'unfence' } : { kind: 'finish' };
    case 'building':
      // It takes a while, and clients wait.
      return drives ? { kind: 'unfence' } : { kind: 'round' };
    case 'none':
    case 'failed':
      if (drives) return { kind: 'unfence' };
      return tooEarly ? waitFor('the next attempt') : { kind: 'begin' };
    case 'built':
      return seen.kind === 'split' ? splitBuilt(seen) : mergeBuilt(seen);
  }
}

function splitBuilt(seen: ReshapeSituation): Step {
  if (!seen.drives) return waitFor('its slots to be handed over');
  const log = logStep(seen);
  if (log !== undefined) return log;
  return seen.othersBuilt ? { kind: 'handOver' } : waitFor('other replicas to finish');
}

function mergeBuilt(seen: ReshapeSituation): Step {
  if (!seen.drives) return waitFor('its slots to be handed over');
  if (seen.target === 'unprepared' || seen.lacksStores) return { kind: 'prepare' };
  if (!seen.remembered) return { kind: 'remember' };
  return seen.othersBuilt ? { kind: 'handOver' } : waitFor('other replicas to finish');
}

function logStep({ log }: ReshapeSituation): Step | undefined {
  if (log === 'unknown') return { kind: 'makeLog' };
  return log === 'made' ? { kind: 'startLog' } : undefined;
}

function afterSplit(seen: ReshapeSituation): Step {
  // What the source is now is not what the child was split off from: it is had from those who have it.
  if (seen.work !== 'built') return waitFor('a node that has the child');
  if (!seen.drives) return waitFor('the topology');
  return logStep(seen) ?? { kind: 'change' };
}

function afterMerge(seen: ReshapeSituation): Step {
  const { target, work, drives, tooEarly } = seen;
  const why = whyNotTarget(seen);
  if (why !== undefined) return waitFor(why);
  if (target === 'absorbed') return byDriver(seen, 'change', 'the topology');
  if (target === 'unprepared') return byDriver(seen, 'prepare', 'its target to be prepared');
  switch (work) {
    case 'none':
    case 'failed':
      return tooEarly ? waitFor('the next attempt') : { kind: 'begin' };
    case 'building':
      return { kind: 'round' };
    case 'near':
      return { kind: 'finish' };
    case 'built':
      if (drives && seen.lacksStores) return { kind: 'prepare' };
      return byDriver(seen, 'absorb', 'its target to take the slots');
  }
}
