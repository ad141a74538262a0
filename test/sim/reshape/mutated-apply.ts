// Apply with a rule left out, for bugs that are apply's.
import type { Command } from '@statestore/core';
import { decodeBatch, encodeBatch } from '@statestore/core';
import type { Apply } from '../replica.ts';
import type { ReshapeBug } from './reshape-bugs.ts';

export function mutatedApply(bug: ReshapeBug | undefined, apply: Apply): Apply {
  switch (bug) {
    case 'fence-does-nothing':
      // Until the hand-over is judged nobody sees it.
      return (state, reader, record) => {
        const batch = decodeBatch(record.bytes);
        const { fenced } = state;
        if (batch.commands.some(({ body }) => body.kind === 'mutate')) state.fenced = undefined;
        const applied = apply(state, reader, record);
        state.fenced ??= fenced;
        return applied;
      };
    case 'hand-over-of-any-fence':
      return (state, reader, record) => {
        const batch = decodeBatch(record.bytes);
        const { fenced } = state;
        const commands = batch.commands.map((command): Command =>
          command.body.kind === 'handOver' && fenced !== undefined
            ? { ...command, body: { ...command.body, fencedPosition: fenced.position } }
            : command,
        );
        return apply(state, reader, { ...record, bytes: encodeBatch({ ...batch, commands }) });
      };
    default:
      return apply;
  }
}
