// Which nodes are live, from their reports alone: a pure state machine that is told what was seen and when,
// on the watcher's own monotonic clock. A report is news where its process or its count is another; a
// node without news for `nodeSilenceMs` is not live, until the next news.
//
// At first sight a node counts as live: a gateway that starts must be able to use everybody at once, and
// cannot know how old a report is without comparing clocks. The price: a watcher that just started takes
// a dead node for a live one for `nodeSilenceMs`. Who cannot pay it asks for `confirmed`.
//
// A late report (a re-read answered by a server that lags) is not news: a count that is not higher, or a
// process that another one of the same name has followed. But which of two processes followed the other can
// be mistaken too: a watcher that begins may hear the new one first, and then read an old report of the
// one before. So a process that goes on reporting, while nothing comes from the one that is said to have
// followed it, is the one that lives. Two that both live under one name do not alternate.
import { limits } from '@statestore/core';
import type { NodeReport, ObservedNode } from './node-registry.ts';

interface Seen {
  report: NodeReport;
  newsAtMs: number;
  changed: boolean;
  live: boolean;
  /** Processes before this one by their boots, oldest first. */
  readonly former: Map<string, Former>;
}

interface Former {
  /** The highest. */
  count: number;
  /** Reports with a higher one since the present process last said something. */
  news: number;
}

export class Liveness {
  readonly #nodes = new Map<string, Seen>();

  /** Whether something that `nodes` tells is different now. */
  saw(report: NodeReport, nowMs: number): boolean {
    const known = this.#nodes.get(report.name);
    if (known === undefined) {
      this.#nodes.set(report.name, { report, newsAtMs: nowMs, changed: false, live: true, former: new Map() });
      return true;
    }
    if (!isNews(known, report)) return false;
    if (report.boot === known.report.boot) for (const former of known.former.values()) former.news = 0;
    else followed(known, report.boot);
    known.report = report;
    known.newsAtMs = nowMs;
    known.changed = true;
    known.live = true;
    return true;
  }

  /** The report of a node was removed. Whether it was known. */
  forget(name: string): boolean {
    return this.#nodes.delete(name);
  }

  /** Forgets the nodes that are none of these and without news since then. Whether there were any. */
  keepOnly(names: ReadonlySet<string>, sinceMs: number): boolean {
    let forgot = false;
    for (const [name, { newsAtMs }] of this.#nodes) {
      if (names.has(name) || newsAtMs >= sinceMs) continue;
      this.#nodes.delete(name);
      forgot = true;
    }
    return forgot;
  }

  /** Lets silence decide. Whether a node is not live any more. */
  passed(nowMs: number): boolean {
    let fell = false;
    for (const seen of this.#nodes.values()) {
      if (!seen.live || nowMs - seen.newsAtMs < limits.nodeSilenceMs) continue;
      seen.live = false;
      fell = true;
    }
    return fell;
  }

  /** When `passed` is to be called next; undefined where no node is live. */
  get nextMs(): number | undefined {
    let next: number | undefined;
    for (const { live, newsAtMs } of this.#nodes.values()) {
      const atMs = newsAtMs + limits.nodeSilenceMs;
      if (live && (next === undefined || atMs < next)) next = atMs;
    }
    return next;
  }

  /** A copy: nobody's view changes under their hands. */
  nodes(): ReadonlyMap<string, ObservedNode> {
    const nodes = new Map<string, ObservedNode>();
    for (const [name, { report, live, changed }] of this.#nodes) {
      nodes.set(name, { report, live, confirmed: live && changed });
    }
    return nodes;
  }
}

function isNews({ report, former }: Seen, next: NodeReport): boolean {
  if (next.boot === report.boot) return next.count > report.count;
  const before = former.get(next.boot);
  if (before === undefined) return true;
  if (next.count <= before.count) return false;
  before.count = next.count;
  return ++before.news >= limits.nodeBackReports;
}

/** The process of this boot is the present one now. */
function followed({ report, former }: Seen, boot: string): void {
  former.delete(boot);
  former.set(report.boot, { count: report.count, news: 0 });
  const [oldest] = former.keys();
  if (former.size > limits.nodeBootsRemembered) former.delete(oldest!);
}
