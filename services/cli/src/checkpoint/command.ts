// `statestore checkpoint <what>`: asks for checkpoints, and looks after a repository of them.
import { subcommands } from '../subcommands.ts';
import { collect } from './collect.ts';
import { create } from './create.ts';
import { list, remove, show, verify } from './repository-commands.ts';

export const checkpoint = subcommands('checkpoint', {
  create: { help: 'asks a gateway for one', run: create },
  list: { help: 'those of a repository', run: list },
  show: { help: 'one of them, by partition', run: show },
  verify: { help: 'reads one and proves it; --drill restores it as well', run: verify },
  delete: { help: 'deletes one', run: remove },
  collect: { help: 'removes what nothing needs any more', run: collect },
});
