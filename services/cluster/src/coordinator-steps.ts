// What a coordinator does to a topology, told for people.

/** Of one replica. */
export interface ReplicaChange {
  readonly kind:
    /** Begins to build a replica. */
    | 'join'
    /** Serves from now on. */
    | 'promote'
    /** Is to go, once others serve. */
    | 'leave'
    /** Is not to go after all. */
    | 'stay'
    | 'remove'
    /** Is preferred as proposer. */
    | 'prefer';
  readonly partition: number;
  readonly node: string;
}

/** Of slots, from `partition` into another one. */
export interface ReshapeChange {
  readonly kind:
    | 'split'
    | 'merge'
    /** It is to be given up, where that can still be. */
    | 'giveUp';
  readonly partition: number;
  readonly into: number;
}

/** Of a partition that was merged away. */
export interface RetiredChange {
  readonly kind:
    /** Nobody is to hold it any more. */
    | 'endRetired'
    /** Its log is removed. */
    | 'forgetRetired';
  readonly partition: number;
}

/** There are as many partitions as were asked for, and all is in its place. */
export interface ResizeEnd {
  readonly kind: 'resized';
  readonly partitions: number;
}

export type CoordinatorStep = ReplicaChange | ReshapeChange | RetiredChange | ResizeEnd;
