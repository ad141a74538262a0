// What a copying process says of itself.

export interface Found {
  readonly position: string;
  readonly entries: number;
  /** Of every kind. */
  readonly records: number;
}

export interface Copied {
  readonly position: string;
  readonly records: number;
  readonly bytes: number;
  readonly chain: string;
  readonly stateHash: string;
  readonly ms: number;
  /** Until the last part was there; the rest is the proof. */
  readonly takenMs: number;
}

export interface Failed {
  readonly code: string;
  readonly retryable: boolean;
  readonly message: string;
}

export interface Said {
  /** What the engine holds, at the start and after a failure. */
  readonly found?: Found;
  readonly progress?: { readonly records: number; readonly bytes: number };
  readonly copied?: Copied;
  readonly failed?: Failed;
}
