// A screen of text: written over on a terminal, line by line elsewhere.
import { expect, test } from 'vitest';
import { Screen } from './screen.ts';

function output(terminal?: { readonly rows: number; readonly columns: number }) {
  const written: string[] = [];
  return { ...(terminal && { isTTY: true, ...terminal }), written, write: (text: string) => written.push(text) };
}

test('a terminal gets all of it again, cut to its width', () => {
  const out = output({ rows: 10, columns: 8 });
  const screen = new Screen(out);
  expect(screen).toMatchObject({ isTerminal: true, rows: 9 });
  screen.show('a long line\nb');
  screen.show('a long line\nb');
  expect(out.written).toEqual(Array(2).fill('\x1b[Ha long …\x1b[K\nb\x1b[K\n\x1b[J'));
});

test('elsewhere it is said again only where it changed', () => {
  const out = output();
  const screen = new Screen(out);
  screen.clear();
  for (const text of ['a', 'a', 'b']) screen.show(text);
  expect(out.written).toEqual(['a\n', 'b\n']);
  expect(screen.rows).toBeGreaterThan(100);
});
