// `statestore checkpoint <what>`: asks for checkpoints, and looks after a repository of them.
import { StateStoreError } from '@statestore/core';
import { collect } from './collect.ts';
import { create } from './create.ts';
import { list, remove, show, verify } from './repository-commands.ts';

const commands: Readonly<Record<string, { readonly help: string; run(argv: readonly string[]): Promise<void> }>> = {
  create: { help: 'asks a gateway for one', run: create },
  list: { help: 'those of a repository', run: list },
  show: { help: 'one of them, by partition', run: show },
  verify: { help: 'reads one and proves it; --drill restores it as well', run: verify },
  delete: { help: 'deletes one', run: remove },
  collect: { help: 'removes what nothing needs any more', run: collect },
};

export async function checkpoint(argv: readonly string[]): Promise<void> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const rows = Object.entries(commands).map(([each, { help }]) => `  ${each.padEnd(8)} ${help}`);
    process.stdout.write(
      `Usage: statestore checkpoint <what> [options]\n\n${rows.join('\n')}\n\nstatestore checkpoint <what> --help lists its options.\n`,
    );
    return;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const known = Object.keys(commands).join(', ');
    throw new StateStoreError(
      'invalid_settings',
      `there is no command checkpoint ${JSON.stringify(name)}; it may be ${known}`,
    );
  }
  await command.run(rest);
}
