// Commands of two words: `statestore <group> <what>`. What each does is its own; here it is found, or named what there is.
import { StateStoreError } from '@statestore/core';

export interface Subcommand {
  readonly help: string;
  run(argv: readonly string[]): Promise<void>;
}

/** The command of the group. It throws `invalid_settings` where there is no such second word. */
export function subcommands(
  group: string,
  commands: Readonly<Record<string, Subcommand>>,
): (argv: readonly string[]) => Promise<void> {
  return async ([name, ...rest]) => {
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      const rows = Object.entries(commands).map(([each, { help }]) => `  ${each.padEnd(8)} ${help}`);
      process.stdout.write(
        `Usage: statestore ${group} <what> [options]\n\n${rows.join('\n')}\n\nstatestore ${group} <what> --help lists its options.\n`,
      );
      return;
    }
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined) {
      const known = Object.keys(commands).join(', ');
      throw new StateStoreError(
        'invalid_settings',
        `there is no command ${group} ${JSON.stringify(name)}; it may be ${known}`,
      );
    }
    await command.run(rest);
  };
}
