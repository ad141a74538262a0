// The OpenAPI document against what the service really answers: each answer that the rest of the suite got
// must be documented, with its status, content type, required headers and the schema of its body. So a
// generated client understands whatever the tests have seen.
import { describe, expect, test } from 'vitest';
import { Compile } from 'typebox/compile';
import type { Answered } from './http-client.ts';
import type { ClientOf } from './http-contract.ts';

interface Documented {
  readonly content?: Record<string, { readonly schema?: object }>;
}
interface Operation {
  readonly responses: Record<string, Documented>;
}
interface Document {
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: object;
}

export function conformanceContract(clientOf: ClientOf): void {
  describe('OpenAPI', () => {
    test('every answer of this suite is as documented', async () => {
      const client = clientOf();
      const document = (await client.get('/openapi.json')).json as Document;
      const judge = judgeOf(document);
      const seen = new Set<string>();
      const wrong = new Set<string>();
      for (const answered of client.answers) {
        const verdict = judge(answered);
        if (verdict === undefined) continue;
        seen.add(verdict.operation);
        if (verdict.problem !== undefined) wrong.add(verdict.problem);
      }
      expect([...wrong]).toEqual([]);
      const all = Object.entries(document.paths).flatMap(([path, item]) =>
        Object.keys(item).map((method) => `${method} ${path}`),
      );
      // Watches have a client of their own; only their refusals pass here.
      expect(all.filter((operation) => !seen.has(operation))).toEqual([]);
    });
  });
}

interface Verdict {
  readonly operation: string;
  readonly problem?: string;
}

function judgeOf({ paths, components }: Document): (answered: Answered) => Verdict | undefined {
  const patterns = Object.keys(paths).map(
    (path) => [path, new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]*')}$`)] as const,
  );
  const validators = new Map<object, ReturnType<typeof Compile>>();
  const validatorOf = (schema: object) => {
    const known = validators.get(schema) ?? Compile({ ...schema, components });
    validators.set(schema, known);
    return known;
  };
  return ({ method, path, given: { status, headers, json, body } }) => {
    const asked = path.split('?', 1)[0]!;
    const found = patterns.find(([, pattern]) => pattern.test(asked))?.[0];
    const operation = found === undefined ? undefined : paths[found]![method.toLowerCase()];
    if (found === undefined || operation === undefined) return undefined;
    const name = `${method.toLowerCase()} ${found}`;
    const problem = (what: string): Verdict => ({ operation: name, problem: `${name} ${status}: ${what}` });
    const documented = operation.responses[String(status)];
    if (documented === undefined) return problem('the status is not documented');
    if (method === 'HEAD' || body.length === 0) return { operation: name };
    const type = (headers['content-type'] ?? '').split(';', 1)[0]!;
    const media = documented.content?.[type] ?? documented.content?.['*/*'];
    if (media === undefined) return problem(`the content type ${type} is not documented`);
    if (json === undefined || media.schema === undefined || media === documented.content?.['*/*']) {
      return { operation: name };
    }
    const [error] = validatorOf(media.schema).Errors(json);
    return error === undefined
      ? { operation: name }
      : problem(`${error.instancePath.replaceAll(/\d+/g, 'N')} ${error.message} ${JSON.stringify(error.params)}`);
  };
}
