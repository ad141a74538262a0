// The OpenAPI document, made from the route schemas, and its page. Nothing here runs per request.
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { sessionHeader } from './client-session.ts';
import { components, problemSchema } from './schemas.ts';

const tags = [
  { name: 'entries', description: 'One key and its value' },
  { name: 'many', description: 'Many keys at once: listings, batches, transactions' },
  { name: 'changes', description: 'What happens to keys, as it happens' },
  { name: 'stores', description: 'Keyspaces, their settings and sizes' },
  { name: 'service', description: 'The service itself' },
];

/** Before the routes: it looks on as they are made. */
export async function describeRoutes(app: FastifyInstance, version: string): Promise<void> {
  for (const schema of [problemSchema, ...components]) app.addSchema(schema);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'StateStore',
        version,
        description:
          'A durable, partitioned key-value state store. Errors are RFC 9457 problem documents with stable codes.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags,
    },
    transformObject: finish,
    refResolver: {
      buildLocalReference: (json, _base, _fragment, i) => (typeof json['$id'] === 'string' ? json['$id'] : `def-${i}`),
    },
  });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
}

/** What the plugin cannot be told by a schema. */
const finish: NonNullable<FastifyDynamicSwaggerOptions['transformObject']> = (given) => {
  if ('swaggerObject' in given) return given.swaggerObject;
  for (const item of Object.values(given.openapiObject.paths ?? {})) {
    // It marks the ids of HEAD operations, for those whose id is that of a GET; ours have their own.
    if (item?.head?.operationId !== undefined) item.head.operationId = item.head.operationId.replace(/-head$/, '');
    for (const method of ['get', 'head', 'put', 'post', 'patch', 'delete'] as const) describeSession(item?.[method]);
    const { post } = item ?? {};
    if (post?.operationId === 'increment' && post.requestBody !== undefined && 'required' in post.requestBody) {
      post.requestBody.required = false;
    }
  }
  return given.openapiObject;
};

interface Documented {
  readonly parameters?: readonly object[];
  readonly responses?: Readonly<Record<string, object>>;
}

/** Whatever takes a session token answers with one, a refusal by the partition too. */
function describeSession(operation: Documented | undefined): void {
  const takes = operation?.parameters?.some((parameter) => 'name' in parameter && parameter.name === sessionHeader);
  if (takes !== true) return;
  const described = {
    description: 'Of everything that the session was told of, this answer included; absent where nothing was done.',
    schema: { type: 'string' },
  };
  for (const response of Object.values(operation?.responses ?? {}) as { headers?: object }[]) {
    response.headers = { ...response.headers, [sessionHeader]: described };
  }
}

export function openApiRoute(app: FastifyInstance): void {
  let text: string | undefined;
  const schema = { hide: true };
  app.get('/openapi.json', { schema }, (_request, reply) => {
    text ??= JSON.stringify(app.swagger());
    void reply.type('application/json').send(text);
  });
}
