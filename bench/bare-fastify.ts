// The baseline of the gateway's benchmark, a process of its own: Fastify with one route to read and one to
// write, nothing behind them. What it does, any gateway built on Fastify has to do too.
import { Buffer } from 'node:buffer';
import Fastify from 'fastify';

const value = Buffer.alloc(Number(process.argv[2] ?? 128), 'v');
const written = Buffer.from(process.argv[3] ?? '', 'utf8');

const app = Fastify({ logger: false });
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.get('/v1/stores/:store/keys/:key', (_request, reply) => {
  void reply.header('content-type', 'application/octet-stream').header('etag', '"1"').send(value);
});
app.put('/v1/stores/:store/keys/:key', (request, reply) => {
  if (!Buffer.isBuffer(request.body)) throw new Error('no body');
  void reply.header('content-type', 'application/json').header('etag', '"1"').send(written);
});
await app.listen({ host: '127.0.0.1', port: 0 });
const address = app.server.address();
process.stdout.write(`${JSON.stringify({ port: typeof address === 'object' ? address?.port : undefined })}\n`);
