// Text that replaces the text before it, on a terminal; elsewhere it is printed only where it changed.

export interface Output {
  readonly isTTY?: boolean;
  readonly rows?: number;
  readonly columns?: number;
  write(text: string): unknown;
}

const rowsWithoutTerminal = 1000;

export class Screen {
  readonly #output: Output;
  #last = '';

  constructor(output: Output) {
    this.#output = output;
  }

  get isTerminal(): boolean {
    return this.#output.isTTY === true;
  }

  /** How many lines `show` has room for. */
  get rows(): number {
    return this.isTerminal ? (this.#output.rows ?? 24) - 1 : rowsWithoutTerminal;
  }

  show(text: string): void {
    if (this.isTerminal) {
      const columns = this.#output.columns ?? 80;
      const lines = text.split('\n').map((line) => (line.length > columns ? `${line.slice(0, columns - 1)}…` : line));
      // Home, each line up to its end, and what stood below: without the flicker of a cleared screen.
      this.#output.write(`\x1b[H${lines.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`);
    } else if (text !== this.#last) {
      this.#output.write(`${text}\n`);
    }
    this.#last = text;
  }

  /** Before the first `show`. */
  clear(): void {
    if (this.isTerminal) this.#output.write('\x1b[2J');
  }
}
