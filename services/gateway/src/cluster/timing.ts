// How patient the routing is, in one place: the defaults of limits.ts, and others in tests.
import { limits } from '@statestore/core';

export interface RoutingTiming {
  readonly tickMs: number;
  /** Over all attempts of a write, and of a read. */
  readonly proposeMs: number;
  readonly readMs: number;
  readonly suspectMs: number;
  readonly slowMs: number;
  readonly slowHedgesMax: number;
  readonly overtakenMs: number;
  readonly penaltyMinMs: number;
  readonly penaltyMaxMs: number;
  /** Pauses between rounds over all replicas, doubling. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly statusMs: number;
  readonly refreshMs: number;
  readonly watchBehindMs: number;
  /** A link that is no longer needed is closed when its requests are answered, at the latest then. */
  readonly drainMs: number;
}

export const defaultTiming: RoutingTiming = {
  tickMs: limits.linkTickMs,
  proposeMs: limits.proposeTimeoutMs,
  readMs: limits.linkReadTimeoutMs,
  suspectMs: limits.gatewaySuspectMs,
  slowMs: limits.gatewaySlowMs,
  slowHedgesMax: limits.gatewaySlowHedgesMax,
  overtakenMs: limits.gatewayOvertakenMs,
  penaltyMinMs: limits.gatewayPenaltyMinMs,
  penaltyMaxMs: limits.gatewayPenaltyMaxMs,
  retryMinMs: limits.gatewayRetryMinMs,
  retryMaxMs: limits.gatewayRetryMaxMs,
  statusMs: limits.gatewayStatusTimeoutMs,
  refreshMs: limits.gatewayTopologyRefreshMs,
  watchBehindMs: limits.gatewayWatchBehindMs,
  drainMs: limits.linkCloseTimeoutMs,
};
