// Is there an order of the operations that a sequential model allows and real time does too? The search of
// Wing and Gong (1993) with Lowe's memory of configurations (2017), in the form that Porcupine
// (github.com/anishathalye/porcupine) gave it: a linked list of calls and returns, from which an
// operation is lifted when it is put next into the order.

export interface Call<Operation> {
  readonly operation: Operation;
  readonly invokedMs: number;
  /** Infinity: the outcome is unknown, it may take effect at any later time, or never. */
  readonly returnedMs: number;
}

export interface Model<State, Operation> {
  readonly initial: State;
  /** The state afterwards; undefined where this operation cannot have come next. */
  step(state: State, operation: Operation): State | undefined;
  /** Equal for equal states only. */
  key(state: State): string;
}

export type Verdict<Operation> =
  | { readonly kind: 'linearizable' }
  /** `stuck`: the call that could not be put anywhere, in the longest order that was found. */
  | { readonly kind: 'not linearizable'; readonly stuck: Call<Operation>; readonly ordered: number }
  | { readonly kind: 'undecided'; readonly steps: number };

interface Node<Operation> {
  /** The same for a call and its return. */
  readonly index: number;
  readonly call: Call<Operation>;
  readonly isReturn: boolean;
  return: Node<Operation> | undefined;
  previous: Node<Operation> | undefined;
  next: Node<Operation> | undefined;
}

/** Bounds the search: time and memory. */
const stepsMax = 3_000_000;

export function linearize<State, Operation>(
  model: Model<State, Operation>,
  calls: readonly Call<Operation>[],
): Verdict<Operation> {
  const head = linkedList(calls);
  const seen = new Set<string>();
  const stack: { readonly node: Node<Operation>; readonly state: State }[] = [];
  let open = calls.filter(({ returnedMs }) => returnedMs !== Infinity).length;
  let state = model.initial;
  let ordered = 0n;
  let steps = 0;
  let longest = -1;
  let stuck: Call<Operation> | undefined;
  let node = head.next;
  while (open > 0) {
    if (++steps > stepsMax) return { kind: 'undecided', steps };
    if (node !== undefined && !node.isReturn) {
      const next = model.step(state, node.call.operation);
      const after = ordered | (1n << BigInt(node.index));
      const configuration = next === undefined ? '' : `${after.toString(32)} ${model.key(next)}`;
      if (next === undefined || seen.has(configuration)) {
        node = node.next;
        continue;
      }
      seen.add(configuration);
      stack.push({ node, state });
      state = next;
      ordered = after;
      lift(node);
      if (node.return !== undefined) open--;
      node = head.next;
      continue;
    }
    // A return was reached (or the end): its call had to come before, so the last choice was wrong.
    if (stack.length > longest) {
      longest = stack.length;
      stuck = node?.call;
    }
    const last = stack.pop();
    if (last === undefined) return { kind: 'not linearizable', stuck: stuck ?? head.next!.call, ordered: longest };
    ({ state } = last);
    ordered &= ~(1n << BigInt(last.node.index));
    unlift(last.node);
    if (last.node.return !== undefined) open++;
    node = last.node.next;
  }
  return { kind: 'linearizable' };
}

function linkedList<Operation>(calls: readonly Call<Operation>[]): Node<Operation> {
  const nodes: { readonly atMs: number; readonly node: Node<Operation> }[] = [];
  const byInvocation = calls.toSorted((a, b) => a.invokedMs - b.invokedMs);
  for (const [index, call] of byInvocation.entries()) {
    const links = { return: undefined, previous: undefined, next: undefined };
    const node: Node<Operation> = { index, call, isReturn: false, ...links };
    nodes.push({ atMs: call.invokedMs, node });
    if (call.returnedMs === Infinity) continue;
    node.return = { index, call, isReturn: true, ...links };
    nodes.push({ atMs: call.returnedMs, node: node.return });
  }
  // At the same instant calls come first: such operations count as overlapping.
  nodes.sort((a, b) => a.atMs - b.atMs || Number(a.node.isReturn) - Number(b.node.isReturn));
  const head: Node<Operation> = {
    index: -1,
    call: calls[0]!,
    isReturn: false,
    return: undefined,
    previous: undefined,
    next: undefined,
  };
  let last = head;
  for (const { node } of nodes) {
    node.previous = last;
    last.next = node;
    last = node;
  }
  return head;
}

function lift<Operation>(node: Node<Operation>): void {
  for (const part of [node, node.return]) {
    if (part === undefined) continue;
    part.previous!.next = part.next;
    if (part.next !== undefined) part.next.previous = part.previous;
  }
}

/** Undoes `lift`, in the opposite order. */
function unlift<Operation>(node: Node<Operation>): void {
  for (const part of [node.return, node]) {
    if (part === undefined) continue;
    part.previous!.next = part;
    if (part.next !== undefined) part.next.previous = part;
  }
}
