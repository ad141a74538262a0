// Answers to calls of many keys: a part for each, and each part may have failed for itself.
import type { Definite } from './gateway-client.ts';
import { isRefusal } from './gateway-client.ts';

export interface PartAnswer {
  readonly key: string;
  readonly status: number;
  readonly code?: string;
  readonly etag?: string;
  readonly value?: string;
}

/** Undefined: it is no answer of many keys. */
export function partsOf({ status, body }: Definite): readonly PartAnswer[] | undefined {
  return status === 200 ? (JSON.parse(body) as { results: PartAnswer[] }).results : undefined;
}

/** False: some part of it was left open, and the whole call may be sent again. */
export function isComplete(answer: Definite): boolean {
  const parts = partsOf(answer);
  return parts === undefined || !parts.some(({ code = '' }) => code === 'outcome_unknown' || isRefusal(code));
}
