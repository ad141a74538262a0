// Ports for processes that are killed and started again on the same port. They lie below the range from which
// the kernel takes the ports of outgoing connections: one of those could sit on the port meanwhile.
import { createServer } from 'node:net';

/** Ports first ≤ port < end; Linux takes 32768 and more for outgoing connections. */
interface Range {
  readonly first: number;
  readonly end: number;
}

const all: Range = { first: 10_000, end: 32_000 };
/** `first-end`: of several that run at once, each can be given some of them. */
const rangeVariable = 'STATESTORE_TEST_PORTS';
const attemptsMax = 200;

function ownRange(): Range {
  const [, first, end] = /^(\d{4,5})-(\d{4,5})$/.exec(process.env[rangeVariable] ?? '') ?? [];
  return first === undefined || end === undefined ? all : { first: Number(first), end: Number(end) };
}

export class Ports {
  readonly #host: string;
  readonly #given = new Set<number>();

  constructor(host: string) {
    this.#host = host;
  }

  /** A port that nobody listens on, and that was not given before. */
  async take(): Promise<number> {
    const { first, end } = ownRange();
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const port = first + Math.floor(Math.random() * (end - first));
      if (this.#given.has(port) || !(await isFree(this.#host, port))) continue;
      this.#given.add(port);
      return port;
    }
    throw new Error(`found no free port of ${this.#host} in ${first} to ${end - 1}`);
  }
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
