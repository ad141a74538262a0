// Whether a process accepts connections and answers. No connection is kept: a stop would wait for it.
import { get } from 'node:http';
import { connect } from 'node:net';

const probeTimeoutMs = 2000;

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** Undefined where nobody answered in time. */
export function httpGet(url: string): Promise<HttpAnswer | undefined> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: probeTimeoutMs }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (body += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', () => resolve(undefined));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
  });
}

/** Whether a server there speaks first, as nats-server does with its INFO. */
export function speaksFirst(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const answer = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(probeTimeoutMs, () => answer(false));
    socket.once('data', () => answer(true));
    socket.once('error', () => answer(false));
    socket.once('close', () => answer(false));
  });
}
