// Keeps the tree tidy: what a reviewer would otherwise have to say again and again (docs: STYLE of the
// repository, ARCHITECTURE.md "Data flows one way").
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !path.includes('node_modules'));
}

const sources = ['services', 'test', 'bench', 'scripts']
  .flatMap(filesBelow)
  .filter((path) => path.endsWith('.ts') && !path.includes('/gen/'));
const texts = new Map(sources.map((path) => [path, readFileSync(join(root, path), 'utf8')]));

const linesMax = 400;
const vagueNames = /(^|\/)(utils?|helpers?|common|misc|stuff)(\.|\/|$)/;

/** Which packages each service may import; the tree's one direction. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  link: ['core'],
  cluster: ['core'],
  checkpoint: ['core'],
  node: ['core', 'link', 'cluster', 'checkpoint'],
  gateway: ['core', 'link', 'cluster'],
  cli: ['core', 'link', 'cluster', 'checkpoint', 'node', 'gateway'],
};

function offenders(found: (path: string, text: string) => boolean): string[] {
  return [...texts].filter(([path, text]) => found(path, text)).map(([path]) => path);
}

const self = 'test/tidy.test.ts';

describe('the tree', () => {
  test('has source files at all', () => {
    expect(sources.length).toBeGreaterThan(50);
  });

  test('has no file that is too long to hold one concept', () => {
    expect(offenders((_, text) => text.split('\n').length > linesMax + 1)).toEqual([]);
  });

  test('says at each head why the file exists', () => {
    const speaksForItself = /(\/index|\.test)\.ts$/;
    expect(offenders((path, text) => !speaksForItself.test(path) && !/^(#!.*\n)?(\/\/|\/\*)/.test(text))).toEqual([]);
  });

  test('has no vague names', () => {
    expect(sources.filter((path) => vagueNames.test(path))).toEqual([]);
  });

  test('has nothing unfinished, skipped or silenced', () => {
    const soft =
      /\b(TODO|FIXME|XXX)\b|\b(test|it|describe|suite)\.(only|skip|todo)\b|@ts-(ignore|nocheck|expect-error)|\bas any\b|not implemented/i;
    expect(offenders((path, text) => path !== self && soft.test(text))).toEqual([]);
  });

  test('has no path of a machine', () => {
    expect(offenders((path, text) => path !== self && /['"`(]\/(work|root|home)\//.test(text))).toEqual([]);
  });

  test('imports in one direction', () => {
    const wrong: string[] = [];
    for (const [path, text] of texts) {
      const service = /^services\/(\w+)\/src\//.exec(path)?.[1];
      if (service === undefined || path.endsWith('.test.ts')) continue;
      for (const [, imported] of text.matchAll(/from '@statestore\/(\w+)'/g)) {
        const allowed = imported !== undefined && mayImport[service]?.includes(imported);
        if (!allowed) wrong.push(`${path} imports ${imported}`);
      }
      if (/from '(\.\.\/)+(core|link|cluster|checkpoint|node|gateway|cli)\/src/.test(text))
        wrong.push(`${path} reaches into another service`);
    }
    expect(wrong).toEqual([]);
  });

  test('has an image with the packages of all services', () => {
    const image = readFileSync(join(root, 'Dockerfile'), 'utf8');
    const services = readdirSync(join(root, 'services'));
    const wanted = services.map((name) => `COPY services/${name}/package.json services/${name}/`);
    expect(wanted.filter((line) => !image.includes(line))).toEqual([]);
  });

  test('has generated code that is current', () => {
    const folder = mkdtempSync(join(tmpdir(), 'statestore-gen-'));
    try {
      const bin = join(root, 'node_modules', '.bin');
      const env = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
      execFileSync(join(bin, 'buf'), ['generate', '-o', folder], { cwd: root, env });
      const generated = readdirSync(join(folder, 'services/core/src/gen/statestore/v1'));
      const committed = readdirSync(join(root, 'services/core/src/gen/statestore/v1'));
      expect(committed.toSorted()).toEqual(generated.toSorted());
      for (const name of generated) {
        const path = join('services/core/src/gen/statestore/v1', name);
        expect(readFileSync(join(root, path), 'utf8'), `${path} (npm run proto)`).toBe(
          readFileSync(join(folder, path), 'utf8'),
        );
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('documents only what is there', () => {
    const documents = ['README.md', 'ARCHITECTURE.md', ...filesBelow('docs').filter((path) => path.endsWith('.md'))];
    const missing: string[] = [];
    const all = new Set([...sources, ...filesBelow('docs'), ...filesBelow('proto')]);
    for (const document of documents) {
      const text = readFileSync(join(root, document), 'utf8');
      for (const [, path] of text.matchAll(/`((?:services|test|bench|proto|docs|scripts)\/[\w./-]+\.\w+)`/g)) {
        if (path !== undefined && !all.has(path)) missing.push(`${document} names ${path}`);
      }
    }
    expect(missing).toEqual([]);
  });
});
