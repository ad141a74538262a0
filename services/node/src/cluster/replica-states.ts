// The life of a replica on a node, as one table: what it does next, whatever happens. What is done in a state
// is in replica.ts; this file only says where each event leads, so that every pair was thought of once.

export type ReplicaState =
  /** Nothing is open; data may still be in the folder. */
  | 'absent'
  /** Engine and log are opened and compared: may this replica follow this log? */
  | 'opening'
  /** The state is copied from a peer into a folder beside. */
  | 'copying'
  /** The log is replayed up to its present end. */
  | 'starting'
  | 'running'
  | 'halted'
  /** A step failed for a reason that passes; it is tried again after a while. */
  | 'waiting'
  /** What is open is stored and closed. */
  | 'closing';

export type ReplicaEvent =
  /** The topology places a replica here. */
  | 'wanted'
  /** It does not any more, or the node closes. */
  | 'unwanted'
  /** The topology names another log than the one in use. */
  | 'relogged'
  /** This replica may follow the log from where it is. */
  | 'ready'
  /** It cannot, and is to be built from a peer. */
  | 'needsCopy'
  /** A copy of a peer's state is in place. */
  | 'copied'
  /** Everything that the log had is applied. */
  | 'caughtUp'
  | 'failed'
  | 'halted'
  /** What a halted replica waited for is there. */
  | 'mendable'
  | 'retry'
  /** Nothing is open any more. */
  | 'closed';

/** `ignore`: it changes nothing here. `never`: it cannot come here; if it does, the program is wrong. */
export type Next = ReplicaState | 'ignore' | 'never';

export const replicaStates: Readonly<Record<ReplicaState, Readonly<Record<ReplicaEvent, Next>>>> = {
  absent: {
    wanted: 'opening',
    unwanted: 'ignore',
    relogged: 'ignore',
    ready: 'never',
    needsCopy: 'never',
    copied: 'never',
    caughtUp: 'never',
    failed: 'never',
    halted: 'never',
    mendable: 'never',
    retry: 'never',
    closed: 'never',
  },
  opening: {
    wanted: 'ignore',
    unwanted: 'closing',
    relogged: 'closing',
    ready: 'starting',
    needsCopy: 'copying',
    copied: 'never',
    caughtUp: 'never',
    failed: 'waiting',
    halted: 'halted',
    mendable: 'never',
    retry: 'never',
    closed: 'never',
  },
  copying: {
    wanted: 'ignore',
    unwanted: 'closing',
    relogged: 'closing',
    ready: 'never',
    needsCopy: 'never',
    // Judged once more: the topology and the log may have moved on meanwhile.
    copied: 'opening',
    caughtUp: 'never',
    failed: 'waiting',
    halted: 'halted',
    mendable: 'never',
    retry: 'never',
    closed: 'never',
  },
  starting: {
    wanted: 'ignore',
    unwanted: 'closing',
    relogged: 'closing',
    ready: 'never',
    needsCopy: 'never',
    copied: 'never',
    caughtUp: 'running',
    failed: 'waiting',
    halted: 'halted',
    mendable: 'never',
    retry: 'never',
    closed: 'never',
  },
  running: {
    wanted: 'ignore',
    unwanted: 'closing',
    relogged: 'closing',
    ready: 'never',
    needsCopy: 'never',
    copied: 'never',
    caughtUp: 'never',
    failed: 'never',
    halted: 'halted',
    mendable: 'never',
    retry: 'never',
    closed: 'never',
  },
  halted: {
    wanted: 'ignore',
    unwanted: 'closing',
    // The log was recovered: it is judged anew.
    relogged: 'closing',
    ready: 'never',
    needsCopy: 'never',
    copied: 'never',
    caughtUp: 'never',
    failed: 'never',
    halted: 'ignore',
    mendable: 'closing',
    retry: 'never',
    closed: 'never',
  },
  waiting: {
    wanted: 'ignore',
    unwanted: 'closing',
    relogged: 'closing',
    ready: 'never',
    needsCopy: 'never',
    copied: 'never',
    caughtUp: 'never',
    failed: 'never',
    // What was open when the step failed may tell of its end only now.
    halted: 'ignore',
    mendable: 'never',
    // By way of closing: whatever the failed step left open goes first.
    retry: 'closing',
    closed: 'never',
  },
  closing: {
    wanted: 'ignore',
    unwanted: 'ignore',
    relogged: 'ignore',
    ready: 'never',
    needsCopy: 'never',
    copied: 'never',
    caughtUp: 'never',
    failed: 'never',
    halted: 'ignore',
    mendable: 'never',
    retry: 'never',
    // And from there at once to opening, where it is still wanted.
    closed: 'absent',
  },
};

/** Where the event leads; the same state where it changes nothing. Throws where it cannot be. */
export function nextState(state: ReplicaState, event: ReplicaEvent): ReplicaState {
  const next = replicaStates[state][event];
  if (next === 'never') throw new Error(`a replica that is ${state} was told ${event}`);
  return next === 'ignore' ? state : next;
}

/** What peers and gateways are told. */
export const reportedStates = {
  absent: 'stopped',
  opening: 'starting',
  copying: 'copying',
  starting: 'starting',
  running: 'running',
  halted: 'halted',
  waiting: 'starting',
  closing: 'stopped',
} as const satisfies Record<ReplicaState, string>;
