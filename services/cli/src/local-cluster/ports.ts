// Ports for processes that are killed and started again on the same port. They lie below the range from which
// the kernel takes the ports of outgoing connections: one of those could sit on the port meanwhile.
import { createServer } from 'node:net';

/** Ports first ≤ port < end; Linux takes 32768 and more for outgoing connections. */
const first = 10_000;
const end = 32_000;
const attemptsMax = 200;

export class Ports {
  readonly #host: string;
  readonly #given = new Set<number>();

  constructor(host: string) {
    this.#host = host;
  }

  /** A port that nobody listens on, and that was not given before. */
  async take(): Promise<number> {
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
