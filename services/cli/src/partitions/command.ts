// `statestore partitions <what>`: how many there are, and how that is changed while everything is served.
import { StateStoreError } from '@statestore/core';
import { balance } from './balance.ts';
import { resize } from './resize.ts';
import { status } from './status.ts';
import { cancel, pause, resume } from './wishes.ts';

const commands: Readonly<Record<string, { readonly help: string; run(argv: readonly string[]): Promise<void> }>> = {
  resize: { help: 'splits or merges partitions until there are so many', run: resize },
  status: { help: 'how far that is, and what each partition holds', run: status },
  pause: { help: 'begins no further split or merge', run: pause },
  resume: { help: 'goes on', run: resume },
  cancel: { help: 'gives it up: as many as there are now stay', run: cancel },
  balance: { help: 'spreads replicas over nodes by what partitions hold and do', run: balance },
};

export async function partitions(argv: readonly string[]): Promise<void> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const rows = Object.entries(commands).map(([each, { help }]) => `  ${each.padEnd(8)} ${help}`);
    process.stdout.write(
      `Usage: statestore partitions <what> [options]\n\n${rows.join('\n')}\n\nstatestore partitions <what> --help lists its options.\n`,
    );
    return;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const known = Object.keys(commands).join(', ');
    throw new StateStoreError(
      'invalid_settings',
      `there is no command partitions ${JSON.stringify(name)}; it may be ${known}`,
    );
  }
  await command.run(rest);
}
