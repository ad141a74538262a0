// The `statestore` command. `statestore dev` is what `npm start` runs.
import { StateStoreError } from '@statestore/core';
import { checkpoint } from './checkpoint/command.ts';
import { init } from './cluster/init.ts';
import { add, drain, forget, rebalance, remove, undrain } from './cluster/moves.ts';
import { recover } from './cluster/recover.ts';
import { restore } from './cluster/restore.ts';
import { status } from './cluster/status.ts';
import { dev } from './dev.ts';
import { gateway } from './gateway.ts';
import { node } from './node.ts';
import { partitions } from './partitions/command.ts';
import { version } from './version.ts';

const commands: Readonly<Record<string, { readonly help: string; run(argv: readonly string[]): Promise<void> }>> = {
  dev: { help: 'a whole state store in one process: gateway, node and log on one data folder', run: dev },
  node: { help: 'a node: on its own, or of a cluster with --nats', run: node },
  gateway: { help: 'a gateway: in front of a node, or of a cluster with --nats', run: gateway },
  init: { help: 'makes the topology of a new cluster', run: init },
  restore: { help: 'makes a new cluster out of a checkpoint, or of any archived moment', run: restore },
  status: { help: 'how a cluster does', run: status },
  rebalance: { help: 'spreads replicas evenly over the nodes of a cluster', run: rebalance },
  partitions: {
    help: 'how many partitions there are: resize, status, pause, resume, cancel, balance',
    run: partitions,
  },
  add: { help: 'gives a new node its share of replicas', run: add },
  remove: { help: 'empties a node and strikes it out', run: remove },
  drain: { help: 'takes all replicas from a node', run: drain },
  undrain: { help: 'lets a node hold replicas again', run: undrain },
  forget: { help: 'strikes out a node that has left for good', run: forget },
  checkpoint: { help: 'asks for checkpoints; lists, verifies and deletes those of a repository', run: checkpoint },
  recover: { help: 'puts back what NATS lost, from what the nodes have', run: recover },
};

function usage(): string {
  const rows = Object.entries(commands).map(([name, { help }]) => `  ${name.padEnd(10)} ${help}`);
  return `statestore ${version}\n\nUsage: statestore <command> [options]\n\n${rows.join('\n')}\n\nstatestore <command> --help lists its options.\n`;
}

async function main(argv: readonly string[]): Promise<void> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage());
    return;
  }
  if (name === '--version') {
    process.stdout.write(`${version}\n`);
    return;
  }
  const command = commands[name];
  if (command === undefined) {
    throw new StateStoreError(
      'invalid_settings',
      `there is no command ${JSON.stringify(name)}; it may be ${Object.keys(commands).join(', ')}`,
    );
  }
  await command.run(rest);
}

/** What lies under it, where its own message does not say that already. */
function causeOf({ message, cause }: StateStoreError): string | undefined {
  return cause instanceof Error && !message.includes(cause.message) ? `(${cause.message})` : undefined;
}

/** Exit codes: 2 wrong settings, 1 anything else that stopped it. */
main(process.argv.slice(2)).catch((error: unknown) => {
  if (error instanceof StateStoreError) {
    process.stderr.write(`statestore: ${[error.message, causeOf(error), error.hint].filter(Boolean).join('\n')}\n`);
    process.exit(error.code === 'invalid_settings' ? 2 : 1);
  }
  process.stderr.write(`statestore: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
});
