// A graceful close: no new connections, streams end, requests in flight are answered, and what is still
// there after the time for that is cut.
import type { FastifyInstance } from 'fastify';
import type { GatewayContext } from './context.ts';

const closes = new WeakMap<FastifyInstance, Promise<void>>();

export function closeGracefully(app: FastifyInstance, context: GatewayContext): Promise<void> {
  const under = closes.get(app) ?? close(app, context);
  closes.set(app, under);
  return under;
}

async function close(app: FastifyInstance, { closing, timeouts }: GatewayContext): Promise<void> {
  closing.abort();
  // Node closes the connections that are idle now; those that become idle by their answer are left
  // open until their keep-alive time is over, which would be a minute.
  const idle = setInterval(() => app.server.closeIdleConnections(), 20);
  const late = setTimeout(() => app.server.closeAllConnections(), timeouts.closeMs);
  try {
    await app.close();
  } finally {
    clearInterval(idle);
    clearTimeout(late);
  }
}
