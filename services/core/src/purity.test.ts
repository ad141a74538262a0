// The core is a function: no I/O, no clock, no random source, no globals of a host. This scans every
// file for the tokens that would break that, with TypeScript's own scanner, so that comments, strings
// and regular expressions do not count.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createScanner } from 'typescript/unstable/ast/scanner';
import { SyntaxKind } from 'typescript/unstable/ast';

const packages: ReadonlySet<string> = new Set(['lossless-json', '@bufbuild/protobuf', '@bufbuild/protobuf/codegenv2']);
const forbidden: ReadonlySet<string> = new Set(
  (
    'Date performance process Buffer crypto fetch globalThis global console Intl setTimeout setInterval ' +
    'setImmediate queueMicrotask Promise Worker Atomics SharedArrayBuffer require eval Function WeakRef FinalizationRegistry Temporal navigator WebAssembly'
  ).split(' '),
);
/** Members that depend on the machine, whoever has them. */
const forbiddenMembers: ReadonlySet<string> = new Set([
  'random',
  'localeCompare',
  'toLocaleString',
  'toLocaleLowerCase',
  'toLocaleUpperCase',
]);

interface Token {
  readonly kind: SyntaxKind;
  readonly text: string;
}

/** After these, a slash divides; anywhere else it begins a regular expression. */
const endsOperand: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.Identifier,
  SyntaxKind.PrivateIdentifier,
  SyntaxKind.NumericLiteral,
  SyntaxKind.BigIntLiteral,
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateTail,
  SyntaxKind.CloseParenToken,
  SyntaxKind.CloseBracketToken,
  SyntaxKind.CloseBraceToken,
  SyntaxKind.ThisKeyword,
]);

function tokensOf(text: string): Token[] {
  const scanner = createScanner(true, undefined, text);
  const tokens: Token[] = [];
  /** Depth of braces inside each template that is open. */
  const templates: number[] = [];
  for (let kind = scanner.scan(); kind !== SyntaxKind.EndOfFile; kind = scanner.scan()) {
    const before = tokens.at(-1)?.kind;
    if (kind === SyntaxKind.SlashToken && (before === undefined || !endsOperand.has(before)))
      kind = scanner.reScanSlashToken();
    if (kind === SyntaxKind.CloseBraceToken && templates.at(-1) === 0) kind = scanner.reScanTemplateToken(false);
    if (kind === SyntaxKind.TemplateHead) templates.push(0);
    else if (kind === SyntaxKind.TemplateTail) templates.pop();
    else if (templates.length > 0 && kind === SyntaxKind.OpenBraceToken) templates.push(templates.pop()! + 1);
    else if (templates.length > 0 && kind === SyntaxKind.CloseBraceToken) templates.push(templates.pop()! - 1);
    tokens.push({ kind, text: kind === SyntaxKind.StringLiteral ? scanner.getTokenValue() : scanner.getTokenText() });
  }
  return tokens;
}

/** What is not pure in this source; `path` is relative to the core's source folder. */
function impurities(path: string, text: string): string[] {
  const found: string[] = [];
  const tokens = tokensOf(text);
  for (const [i, { kind, text: word }] of tokens.entries()) {
    const before = tokens[i - 1];
    const after = tokens[i + 1];
    if (
      kind === SyntaxKind.StringLiteral &&
      (before?.kind === SyntaxKind.FromKeyword || before?.kind === SyntaxKind.ImportKeyword)
    ) {
      if (!mayImport(path, word)) found.push(`imports ${word}`);
    } else if (kind === SyntaxKind.ImportKeyword && (after?.text === '(' || after?.text === '.')) {
      found.push(`import${after.text}`);
    } else if (kind === SyntaxKind.AwaitKeyword || kind === SyntaxKind.AsyncKeyword) {
      found.push(word);
    } else if (kind === SyntaxKind.Identifier || kind === SyntaxKind.RequireKeyword) {
      const isMember = before?.text === '.' || before?.text === '?.';
      if (isMember ? forbiddenMembers.has(word) : forbidden.has(word) && after?.text !== ':') found.push(word);
    } else if (kind === SyntaxKind.StringLiteral && before?.text === '[' && forbiddenMembers.has(word))
      found.push(word);
  }
  return found;
}

function mayImport(path: string, specifier: string): boolean {
  if (!specifier.startsWith('.')) return packages.has(specifier);
  return specifier.endsWith('.ts') && !join(dirname(path), specifier).startsWith('..');
}

const folder = import.meta.dirname;
const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /(?<!\.test|\.testing)\.ts$/.test(entry.name))
  .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
  .filter((path) => !path.startsWith('gen/'));

describe('the core', () => {
  test('has files', () => expect(files.length).toBeGreaterThan(25));

  test.each(files)('%s is pure', (path) => {
    expect(impurities(path, readFileSync(join(folder, path), 'utf8'))).toEqual([]);
  });
});

describe('the checker', () => {
  test.each([
    ["import { readFileSync } from 'node:fs';", 'imports node:fs'],
    ["import fs from 'fs';", 'imports fs'],
    ["import 'lmdb';", 'imports lmdb'],
    ["export * from '@nats-io/jetstream';", 'imports @nats-io/jetstream'],
    ["import { x } from '../../node/src/x.ts';", 'imports ../../node/src/x.ts'],
    ["const fs = await import('node:fs');", 'import('],
    ['const u = import.meta.url;', 'import.'],
    ["const fs = require('fs');", 'require'],
    ['const now = Date.now();', 'Date'],
    ['const now = new Date();', 'Date'],
    ['const x = `a ${new Date()} b`;', 'Date'],
    ['const x = `a ${`b ${process.pid}`} c ${{ a: 1 }.a}`; const y = 1;', 'process'],
    ['const x = Math.random();', 'random'],
    ["const x = Math['random']();", 'random'],
    ['const { random } = Math; const f = Math?.random;', 'random'],
    ['const t = performance.now();', 'performance'],
    ['process.exit(1);', 'process'],
    ["const b = Buffer.from('a');", 'Buffer'],
    ['setTimeout(() => undefined, 1);', 'setTimeout'],
    ['queueMicrotask(() => undefined);', 'queueMicrotask'],
    ['crypto.randomUUID();', 'crypto'],
    ["globalThis['fetch']('x');", 'globalThis'],
    ["console.log('x');", 'console'],
    ["'a'.localeCompare('b');", 'localeCompare'],
    ['async function f() {}', 'async'],
    ['const half = x / 2; const y = Date;  const z = 3 / 4;', 'Date'],
    ["const r = /'/; const d = Date; const s = '';", 'Date'],
  ])('finds what is wrong in %j', (source, wrong) => expect(impurities('apply/sample.ts', source)).toContain(wrong));

  test.each([
    "// Date.now() and import 'node:fs'\nexport const a = 1;",
    "/* process.exit() */ export const text = 'console.log(Date.now())';",
    'export const kind = { process: 1, Date: 2 }; export const x = kind.process + kind.Date;',
    'export const r = /Date|process/; export const t = `Date ${1} process`;',
    "import { create } from '@bufbuild/protobuf'; import { x } from '../hash.ts';",
    'export const half = (a: number) => a / 2 / 3;',
  ])('finds nothing in %j', (source) => expect(impurities('apply/sample.ts', source)).toEqual([]));
});
