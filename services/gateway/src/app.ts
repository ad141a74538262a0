// The gateway: one Fastify server over a node (or many). It holds no state of its own but sessions and
// open streams; everything that matters is asked of the nodes.
import { limits, StateStoreError, type Topology } from '@statestore/core';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { watchRoutes, type AllowedMethods } from './allowed-methods.ts';
import { takeRawBodies } from './bodies.ts';
import { tellSession } from './client-session.ts';
import { closeGracefully } from './closing.ts';
import { makeContext, type GatewayContext } from './context.ts';
import { answerClientError, asStateStoreError, sendProblem } from './http-errors.ts';
import { outcomeOf, type OperationName } from './metrics.ts';
import { describeRoutes, openApiRoute } from './openapi.ts';
import type { GatewayOptions } from './options.ts';
import { keepQuery } from './query.ts';
import { batchRoutes } from './routes/batch.ts';
import { checkpointRoutes } from './routes/checkpoints.ts';
import { keyRoutes } from './routes/keys.ts';
import { listRoutes } from './routes/list.ts';
import { maintenanceRoutes } from './routes/maintenance.ts';
import { operateRoutes } from './routes/operate.ts';
import { partitionRoutes } from './routes/partitions.ts';
import { probeRoutes } from './routes/probes.ts';
import { serviceRoutes } from './routes/service.ts';
import { settingsRoutes } from './routes/settings.ts';
import { storeRoutes } from './routes/stores.ts';
import { transactionRoutes } from './routes/transactions.ts';
import { watchRoute } from './routes/watch.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Under which name the route is counted. */
    operation?: OperationName;
  }
}

export interface Gateway {
  /** For `listen` and `inject`. Close the gateway, not this. */
  readonly app: FastifyInstance;
  /** A newer topology; an older one is ignored. */
  updateTopology(topology: Topology): void;
  /** Takes no more connections, ends streams, finishes what is in flight. Idempotent. */
  close(): Promise<void>;
}

export async function buildGateway(options: GatewayOptions): Promise<Gateway> {
  const context = makeContext(options);
  const app = makeServer(context);
  const allowed = watchRoutes(app);
  app.decorateRequest('clientSession', undefined);
  // Where there is no route nothing is read of a body; routes have their own ways.
  takeRawBodies(app, limits.smallBodyBytesMax, 'body_too_large');
  await describeRoutes(app, context.version);
  app.setErrorHandler((error, request, reply) => {
    // Where there is no route, whatever else is wrong with the request does not matter.
    const known = request.is404 ? noRoute(allowed, request) : asStateStoreError(error);
    if (known.code === 'internal')
      context.log?.error({ err: known.cause ?? error, path: request.routeOptions.url }, 'a request failed');
    const { operation } = request.routeOptions.config;
    // Quick routes record what succeeds themselves; the others have a hook that sees every answer.
    if (operation !== undefined && quick.has(operation)) {
      context.metrics.operations[operation].count(outcomeOf(known.status));
    }
    // What a refused write or a missing entry tells of is of a position too.
    tellSession(request, reply);
    sendProblem(reply, known);
  });
  app.setNotFoundHandler((request, reply) => sendProblem(reply, noRoute(allowed, request)));
  await registerRoutes(app, context);
  await app.ready();
  return {
    app,
    updateTopology: (topology) => context.routing.update(topology),
    close: () => closeGracefully(app, context),
  };
}

function noRoute(allowed: AllowedMethods, { url, method }: FastifyRequest): StateStoreError {
  const path = url.split('?', 1)[0]!;
  const methods = allowed.of(path);
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  if (methods.length === 0) {
    return new StateStoreError('route_not_found', `there is nothing at ${shown}`, {
      hint: 'See /openapi.json or /docs.',
    });
  }
  return new StateStoreError('method_not_allowed', `${shown} does not take ${method}`, {
    extra: { allow: methods.join(', ') },
  });
}

const quick: ReadonlySet<OperationName> = new Set(['get', 'put', 'delete']);

function makeServer({ timeouts }: GatewayContext): FastifyInstance {
  const app = fastify({
    http: {
      maxHeaderSize: limits.requestHeadBytesMax,
      headersTimeout: timeouts.headersMs,
      connectionsCheckingInterval: timeouts.checkMs,
    },
    requestTimeout: timeouts.requestMs,
    connectionTimeout: timeouts.connectionMs,
    keepAliveTimeout: timeouts.keepAliveMs,
    bodyLimit: limits.smallBodyBytesMax,
    // In flight at a close are answered; what comes after on an open connection is too, and closes it.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => answerClientError(error, socket),
    frameworkErrors: (error, _request, reply) => sendProblem(reply, asStateStoreError(error)),
    routerOptions: {
      // Longer than any head, so that keys are judged by their own rule and never by the router's.
      maxParamLength: limits.requestHeadBytesMax,
      querystringParser: keepQuery,
      caseSensitive: true,
    },
  });
  // Schemas describe; bodies are checked by validation.ts, answers are what the handlers made.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  return app;
}

type Routes = (app: FastifyInstance, context: GatewayContext) => void;

/** Each group has its own kind of body, and so its own encapsulated context. */
async function registerRoutes(app: FastifyInstance, context: GatewayContext): Promise<void> {
  const { handlerMs } = context.timeouts;
  const { hook: admit } = context.admission;
  const group = async (routes: Routes, timeLimit = true): Promise<void> => {
    await app.register(async (scope) => {
      scope.addHook('onRequest', admit);
      scope.addHook('onRoute', (route) => {
        if (timeLimit) route.handlerTimeout = handlerMs;
      });
      scope.addHook('onResponse', (request, reply, done) => {
        const { operation } = request.routeOptions.config;
        if (operation !== undefined)
          context.metrics.operations[operation].record(outcomeOf(reply.statusCode), reply.elapsedTime);
        done();
      });
      scope.addHook('onSend', (request, reply, _payload, done) => {
        tellSession(request, reply);
        done();
      });
      routes(scope, context);
    });
  };
  // The quick ones, without further hooks.
  await app.register(async (scope) => {
    scope.addHook('onRequest', admit);
    keyRoutes(scope, context);
  });
  await group(operateRoutes);
  await group(transactionRoutes);
  await group(storeRoutes);
  await group(settingsRoutes);
  await group(maintenanceRoutes);
  await group(serviceRoutes);
  await group(partitionRoutes);
  await group(checkpointRoutes);
  // Those that stream, or must answer whatever happens, have no time limit.
  await group(listRoutes, false);
  // Fastify's limit costs 8 µs a request; a batch is bounded by the limits of what it asks of nodes.
  await group(batchRoutes, false);
  await app.register(async (scope) => watchRoute(scope, context));
  await app.register(async (scope) => probeRoutes(scope, context));
  openApiRoute(app);
}
