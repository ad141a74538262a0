// The configuration of a nats-server as StateStore wants it, as text: of the local cluster, of the tests'
// servers and, in docker-compose.yml, by hand. Why each line is as it is stands here.

export interface NatsServerSettings {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** HTTP, for monitoring. */
  readonly monitorPort: number;
  readonly storePath: string;
  /** `always`: an acknowledgement means a quorum of disks, not of page caches. */
  readonly syncInterval: string;
  /** Default: 8 MiB. */
  readonly payloadBytesMax?: number;
  /** Of all streams together. Default: the server's, three quarters of the disk. */
  readonly fileBytesMax?: number;
  /** Messages that may wait in one stream before it answers 429. Default: the server's. */
  readonly bufferedMessagesMax?: number;
  /** Undefined: a server on its own. */
  readonly cluster?: {
    readonly name: string;
    readonly port: number;
    /** host:port of the routes of all servers; this one may be among them. */
    readonly routes: readonly string[];
  };
}

/** Room for one many-key call of `commandBytesMax`; nats-server discourages more. */
const maxPayload = '8MB';
/** Peers that vanish without a word are given up after about three of them, not after six minutes. */
const pingInterval = '5s';

export function natsServerConfig(server: NatsServerSettings): string {
  const { name, host, port, monitorPort, storePath, syncInterval, cluster } = server;
  const { payloadBytesMax, fileBytesMax, bufferedMessagesMax } = server;
  const lines = [
    `server_name: ${quoted(name)}`,
    `listen: ${quoted(`${host}:${port}`)}`,
    `http: ${quoted(`${host}:${monitorPort}`)}`,
    `max_payload: ${payloadBytesMax ?? maxPayload}`,
    `ping_interval: "${pingInterval}"`,
    'jetstream {',
    `  store_dir: ${quoted(storePath)}`,
    `  sync_interval: ${syncInterval}`,
    ...(fileBytesMax === undefined ? [] : [`  max_file_store: ${fileBytesMax}`]),
    ...(bufferedMessagesMax === undefined ? [] : [`  max_buffered_msgs: ${bufferedMessagesMax}`]),
    '}',
  ];
  if (cluster !== undefined) {
    lines.push(
      'cluster {',
      `  name: ${quoted(cluster.name)}`,
      `  listen: ${quoted(`${host}:${cluster.port}`)}`,
      `  ping_interval: "${pingInterval}"`,
      '  routes: [',
      ...cluster.routes.map((route) => `    ${quoted(`nats-route://${route}`)}`),
      '  ]',
      '}',
    );
  }
  return `${lines.join('\n')}\n`;
}

/** A string of nats-server's configuration, which knows the escapes of JSON. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
