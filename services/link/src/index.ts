export { connectLink, type LinkClient, type LinkClientOptions } from './link-client.ts';
export { type LinkServer, type LinkServerOptions, serveLink } from './link-server.ts';
export type * from './node-service.ts';
