// Paths that exist with another method are told apart from paths that do not: 405 with Allow, or 404.
import type { FastifyInstance } from 'fastify';

export interface AllowedMethods {
  /** Methods that the path has; empty where there is no such path. */
  of(path: string): readonly string[];
}

/** Looks on as routes are made; call it first. */
export function watchRoutes(app: FastifyInstance): AllowedMethods {
  const byPattern = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const methods = byPattern.get(url) ?? new Set();
    for (const name of [method].flat()) methods.add(name);
    byPattern.set(url, methods);
  });
  return {
    of(path) {
      const segments = path.split('/');
      const methods = new Set<string>();
      for (const [pattern, names] of byPattern) {
        if (fits(pattern.split('/'), segments)) for (const name of names) methods.add(name);
      }
      return [...methods].toSorted();
    },
  };
}

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  if (pattern.at(-1) === '*')
    return segments.length >= pattern.length && fits(pattern.slice(0, -1), segments.slice(0, pattern.length - 1));
  return pattern.length === segments.length && pattern.every((part, i) => part.startsWith(':') || part === segments[i]);
}
