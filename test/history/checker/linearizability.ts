// Is there an order of the operations that a sequential model allows and real time does too? The search of
// Wing and Gong (1993) with Lowe's memory of configurations (2017), made for long histories:
// - what only observes is put into the order as soon as it fits, which can never be wrong;
// - first of all the order is tried that the service itself claims by its revisions;
// - what may never have happened is put in between only where the search would be stuck, few at a time.
// A history without fault so needs hardly any step back. All of this is about speed: whatever these
// find is an order, and only a search without them says that there is none.

export interface Call<Operation> {
  readonly operation: Operation;
  readonly invokedMs: number;
  /** Infinity: the outcome is unknown, it may take effect at any later time, or never. */
  readonly returnedMs: number;
  /** One that comes before this one in every order, whatever the times say. */
  readonly after?: Call<Operation>;
  /** Where the service claims to have put it. */
  readonly place?: bigint;
  /**
   * Of an unknown outcome: those with the same one can stand for each other, whatever the state; the one
   * invoked first is tried. And it is no use unless something that only observes comes right after it:
   * everything that changes the state either does so whatever was before, or fits none of what these leave.
   */
  readonly alike?: string;
}

export interface Model<State, Operation> {
  readonly initial: State;
  /** The state afterwards; undefined where this operation cannot have come next. */
  step(state: State, operation: Operation): State | undefined;
  /** True: it leaves every state as it is. */
  observes(operation: Operation): boolean;
  /** Equal for equal states only. */
  key(state: State): string;
}

export type Verdict<Operation> =
  | { readonly kind: 'linearizable'; readonly steps: number }
  /** `stuck`: the call that could not be put anywhere, in the longest order that was found. */
  | { readonly kind: 'not linearizable'; readonly stuck: Call<Operation>; readonly ordered: number }
  | { readonly kind: 'undecided'; readonly steps: number };

/** What a search leaves out, to be fast. */
interface Shortcut {
  /** Of those that may come next, only the one that the service claims to be next. */
  readonly inPlace: boolean;
  /** How many of unknown outcome may follow one another. */
  readonly unknownRun: number;
}

const shortcuts: readonly Shortcut[] = [
  { inPlace: true, unknownRun: 1 },
  { inPlace: true, unknownRun: 2 },
  { inPlace: false, unknownRun: 1 },
  { inPlace: false, unknownRun: Infinity },
];

/** Bounds each search: time and memory. */
const stepsMaxDefault = 200_000;

export function linearize<State, Operation>(
  model: Model<State, Operation>,
  calls: readonly Call<Operation>[],
  stepsMax: number = stepsMaxDefault,
): Verdict<Operation> {
  let verdict: Verdict<Operation> | undefined;
  for (const shortcut of shortcuts) {
    const search = new Search(model, calls, shortcut);
    verdict = search.run(stepsMax);
    if (verdict.kind === 'linearizable' || (verdict.kind === 'not linearizable' && !search.leftOut)) return verdict;
  }
  return verdict!;
}

interface Frame<State> {
  readonly state: State;
  /** Calls that may come next, as indices, the most promising last. */
  readonly choices: number[];
  /** How many calls were in the order. */
  readonly ordered: number;
  /** The highest index in the order; -1: none. */
  readonly highest: number;
  /** How many of the last ones had an unknown outcome. */
  readonly unknownRun: number;
}

const none = -1;

class Search<State, Operation> {
  /** Whether the shortcut made a difference. */
  leftOut = false;
  readonly #model: Model<State, Operation>;
  readonly #shortcut: Shortcut;
  /** By invocation. */
  readonly #calls: readonly Call<Operation>[];
  /** Index of the one that each comes after, or `none`. */
  readonly #after: readonly number[];
  /** Those not in the order yet, as a list in the order of `calls`; the end is its head. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #isOrdered: Uint8Array;
  /** The order. */
  readonly #trail: number[] = [];
  /** Calls with an answer that are not in the order. */
  #open: number;

  constructor(model: Model<State, Operation>, calls: readonly Call<Operation>[], shortcut: Shortcut) {
    this.#model = model;
    this.#shortcut = shortcut;
    this.#calls = calls.toSorted((a, b) => a.invokedMs - b.invokedMs);
    const indices = new Map(this.#calls.map((call, index) => [call, index]));
    this.#after = this.#calls.map(({ after }) => (after === undefined ? none : indices.get(after)!));
    const end = calls.length;
    this.#next = Int32Array.from({ length: end + 1 }, (_, index) => (index === end ? 0 : index + 1));
    this.#previous = Int32Array.from({ length: end + 1 }, (_, index) => (index === 0 ? end : index - 1));
    this.#isOrdered = new Uint8Array(end);
    this.#open = calls.filter(({ returnedMs }) => returnedMs !== Infinity).length;
  }

  run(stepsMax: number): Verdict<Operation> {
    const seen = new Set<string>();
    const frames: Frame<State>[] = [];
    let longest = none;
    let stuck: Call<Operation> | undefined;
    let { initial: state } = this.#model;
    let highest = none;
    let unknownRun = 0;
    let isUseless = false;
    for (let steps = 1; ; steps++) {
      const observed = this.#observe(state);
      if (this.#open === 0) return { kind: 'linearizable', steps };
      if (steps > stepsMax) return { kind: 'undecided', steps };
      isUseless &&= observed === none;
      highest = Math.max(highest, observed);
      if (observed !== none) unknownRun = 0;
      if (this.#trail.length > longest) {
        longest = this.#trail.length;
        stuck = this.#mostUrgent();
      }
      const configuration = this.#configuration(state, highest);
      const isNew = !isUseless && !seen.has(configuration);
      if (isNew) seen.add(configuration);
      const choices = isNew ? this.#choices(state, unknownRun) : [];
      frames.push({ state, choices, ordered: this.#trail.length, highest, unknownRun });
      const next = this.#backToChoice(frames);
      if (next === undefined) return { kind: 'not linearizable', stuck: stuck!, ordered: longest };
      const call = this.#calls[next.choice]!;
      state = this.#model.step(next.frame.state, call.operation)!;
      highest = Math.max(next.frame.highest, next.choice);
      unknownRun = call.returnedMs === Infinity ? next.frame.unknownRun + 1 : 0;
      isUseless = call.alike !== undefined;
      this.#put(next.choice);
    }
  }

  /** The latest place with something left to try; undefined: there is none. */
  #backToChoice(frames: Frame<State>[]): { readonly frame: Frame<State>; readonly choice: number } | undefined {
    for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
      this.#backTo(frame.ordered);
      const choice = frame.choices.pop();
      if (choice !== undefined) return { frame, choice };
      frames.pop();
    }
    return undefined;
  }

  /** Puts what only observes, and fits, into the order. Returns the highest index that it put there. */
  #observe(state: State): number {
    let highest = none;
    for (let more = true; more;) {
      more = false;
      for (const index of this.#candidates()) {
        const { operation } = this.#calls[index]!;
        if (!this.#model.observes(operation) || this.#model.step(state, operation) === undefined) continue;
        this.#put(index);
        highest = Math.max(highest, index);
        more = true;
      }
    }
    return highest;
  }

  #choices(state: State, unknownRun: number): number[] {
    const changes = [...this.#candidates()].filter((index) => !this.#model.observes(this.#calls[index]!.operation));
    const isInPlace = this.#placeFilter(changes);
    const kinds = new Set<string>();
    const choices = changes.filter((index) => {
      const { operation, alike, returnedMs } = this.#calls[index]!;
      if (this.#model.step(state, operation) === undefined) return false;
      if (alike !== undefined && kinds.has(alike)) return false;
      if (alike !== undefined) kinds.add(alike);
      const isAllowed = returnedMs === Infinity ? unknownRun < this.#shortcut.unknownRun : isInPlace(index);
      this.leftOut ||= !isAllowed;
      return isAllowed;
    });
    return choices.toSorted((a, b) => this.#compare(b, a));
  }

  #placeFilter(changes: readonly number[]): (index: number) => boolean {
    if (!this.#shortcut.inPlace) return () => true;
    let first: bigint | undefined;
    for (const index of changes) {
      const { place } = this.#calls[index]!;
      if (place !== undefined && (first === undefined || place < first)) first = place;
    }
    return (index) => {
      const { place } = this.#calls[index]!;
      return place === undefined || place === first;
    };
  }

  /** The more promising first: by place, then by time; what may never have happened last. */
  #compare(a: number, b: number): number {
    const [one, other] = [this.#calls[a]!, this.#calls[b]!];
    const isOptional = Number(one.returnedMs === Infinity) - Number(other.returnedMs === Infinity);
    if (isOptional !== 0) return isOptional;
    if (one.place !== undefined && other.place !== undefined && one.place !== other.place) {
      return one.place < other.place ? -1 : 1;
    }
    return one.returnedMs - other.returnedMs;
  }

  /** Those that nobody has to come before. Calls may be put into the order meanwhile. */
  *#candidates(): Generator<number> {
    const end = this.#calls.length;
    let firstReturnMs = Infinity;
    for (let index = this.#next[end]!; index !== end; index = this.#next[index]!) {
      const { invokedMs, returnedMs } = this.#calls[index]!;
      // At the same instant: such operations count as overlapping.
      if (invokedMs > firstReturnMs) return;
      firstReturnMs = Math.min(firstReturnMs, returnedMs);
      const after = this.#after[index]!;
      if (after === none || this.#isOrdered[after] === 1) yield index;
    }
  }

  #mostUrgent(): Call<Operation> {
    let urgent: Call<Operation> | undefined;
    const end = this.#calls.length;
    for (let index = this.#next[end]!; index !== end; index = this.#next[index]!) {
      const call = this.#calls[index]!;
      if (urgent !== undefined && call.invokedMs > urgent.returnedMs) break;
      if (urgent === undefined || call.returnedMs < urgent.returnedMs) urgent = call;
    }
    return urgent!;
  }

  /** Which calls are in the order: up to the highest, all but those named. */
  #configuration(state: State, highest: number): string {
    let missing = '';
    const end = this.#calls.length;
    for (let index = this.#next[end]!; index < highest; index = this.#next[index]!) missing += `${index},`;
    return `${highest} ${missing} ${this.#model.key(state)}`;
  }

  #put(index: number): void {
    const next = this.#next[index]!;
    const previous = this.#previous[index]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#isOrdered[index] = 1;
    this.#trail.push(index);
    if (this.#calls[index]!.returnedMs !== Infinity) this.#open--;
  }

  /** Takes calls out of the order again, the last one first. */
  #backTo(ordered: number): void {
    while (this.#trail.length > ordered) {
      const index = this.#trail.pop()!;
      this.#next[this.#previous[index]!] = index;
      this.#previous[this.#next[index]!] = index;
      this.#isOrdered[index] = 0;
      if (this.#calls[index]!.returnedMs !== Infinity) this.#open++;
    }
  }
}
