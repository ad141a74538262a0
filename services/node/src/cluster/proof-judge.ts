// Who is right where replicas of one log differ at the same position. Pure. More than half of all replicas
// that the topology names outvote the rest; those that are silent vote for nobody.
import type { Hashes } from './hash-ring.ts';

export type ProofFinding =
  /** Nobody who spoke differs from this replica. */
  | { readonly kind: 'equal' }
  /** More than half of all replicas are of one mind, and this one is of another. */
  | { readonly kind: 'outvoted'; readonly by: readonly string[] }
  /** This one is with them: the others are wrong. */
  | { readonly kind: 'confirmed'; readonly against: readonly string[] }
  /** Neither side has so many yet; `silent` may still decide it. */
  | { readonly kind: 'open'; readonly against: readonly string[]; readonly silent: readonly string[] };

/** `votes`: by node, this one's among them. `replicas`: who counts; a joining replica does not, but may be outvoted. */
export function judgeProofs(
  votes: ReadonlyMap<string, Hashes>,
  self: string,
  replicas: readonly string[],
): ProofFinding {
  const own = votes.get(self);
  if (own === undefined) return { kind: 'equal' };
  const against = [...votes].filter(([, hashes]) => !equalHashes(hashes, own)).map(([node]) => node);
  if (against.length === 0) return { kind: 'equal' };
  const camps = new Map<string, string[]>();
  for (const node of replicas) {
    const hashes = votes.get(node);
    if (hashes === undefined) continue;
    const camp = `${hashes.chain} ${hashes.stateHash}`;
    camps.set(camp, [...(camps.get(camp) ?? []), node]);
  }
  const majority = [...camps].find(([, nodes]) => nodes.length * 2 > replicas.length);
  if (majority === undefined) {
    return { kind: 'open', against, silent: replicas.filter((node) => !votes.has(node)) };
  }
  const [camp, by] = majority;
  return camp === `${own.chain} ${own.stateHash}` ? { kind: 'confirmed', against } : { kind: 'outvoted', by };
}

export function equalHashes(a: Hashes, b: Hashes): boolean {
  return a.chain === b.chain && a.stateHash === b.stateHash;
}
