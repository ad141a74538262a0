// `statestore partitions <what>`: how many there are, and how that is changed while everything is served.
import { subcommands } from '../subcommands.ts';
import { balance } from './balance.ts';
import { resize } from './resize.ts';
import { status } from './status.ts';
import { cancel, pause, resume } from './wishes.ts';

export const partitions = subcommands('partitions', {
  resize: { help: 'splits or merges partitions until there are so many', run: resize },
  status: { help: 'how far that is, and what each partition holds', run: status },
  pause: { help: 'begins no further split or merge', run: pause },
  resume: { help: 'goes on', run: resume },
  cancel: { help: 'gives it up: as many as there are now stay', run: cancel },
  balance: { help: 'spreads replicas over nodes by what partitions hold and do', run: balance },
});
