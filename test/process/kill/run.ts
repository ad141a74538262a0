// The kill test itself: the real process under load, killed with SIGKILL at random moments and started
// again on the same folder and port, then a history for the checker. Everything random comes from the
// seed, except for what the operating system adds in timing.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Violation } from '../../history/checker/violation.ts';
import { DevServer } from '../dev-server.ts';
import { checkHistory } from '../../history/history-checker.ts';
import type { HistoryEvent, KeyUse } from '../../history/history.ts';
import { HistoryFile } from '../../history/history.ts';
import { SeededRandom } from '../seeded-random.ts';
import type { Work } from './clients.ts';
import { accounts, audited, clients, initialBalance } from './clients.ts';
import { HttpClient } from './http-client.ts';
import type { RecorderCounts } from './recorder.ts';
import { Recorder } from './recorder.ts';
import * as steps from './steps.ts';

export interface KillSettings {
  readonly kills: number;
  readonly seed: number;
  /** Data of the server, and the history. */
  readonly folder: string;
  readonly print: (text: string) => void;
  /** Called after each kill while no process runs, with the data: to prove that damage to it is found. */
  readonly afterKill?: (kill: number, dataFolder: string) => Promise<void>;
}

export interface KillReport {
  readonly kills: number;
  /** Of them, before the server was ready again. */
  readonly killsWhileStarting: number;
  readonly events: readonly HistoryEvent[];
  readonly violations: readonly Violation[];
  readonly counts: RecorderCounts;
  readonly historyPath: string;
  /** From spawn to ready, after each kill that was followed by a whole start; ms. */
  readonly startMs: readonly number[];
}

const upMsMin = 100;
const upMsMax = 700;
/** A start is killed in its middle this often. */
const startingKillShare = 0.25;
const startingMsMax = 700;
const killsPerGeneration = 5;
const drainMsMax = 30_000;

export async function runKills({ kills, seed, folder, print, afterKill }: KillSettings): Promise<KillReport> {
  const random = new SeededRandom(seed);
  const dataFolder = join(folder, 'data');
  const server = await DevServer.start({ folder: dataFolder });
  const http = new HttpClient(server.url);
  const historyPath = join(folder, 'history.ndjson');
  const history = new HistoryFile(historyPath);
  const recorder = new Recorder(http, history, new SeededRandom(seed + 1));
  let killed = 0;
  let killsWhileStarting = 0;
  let stopped = false;
  let ids = 0;
  const work: Work = {
    recorder,
    random: new SeededRandom(seed + 2),
    nextId: () => `${seed}-${ids++}`,
    isStopped: () => stopped,
    generation: () => Math.floor(killed / killsPerGeneration),
    keys: new Map<string, KeyUse>(),
  };
  const startMs: number[] = [];
  try {
    await openAccounts(recorder, work);
    const running = Promise.all(clients.map((client, at) => client(work, at + 1)));
    // A client that fails ends the test at once, not after the last kill.
    const failed = running.then(() => new Promise<never>(() => {}));
    while (killed < kills) {
      await Promise.race([failed, sleep(upMsMin + random.below(upMsMax - upMsMin))]);
      await server.kill();
      killed++;
      if (killed < kills && random.chance(startingKillShare)) {
        server.spawn();
        await Promise.race([failed, sleep(random.below(startingMsMax))]);
        await server.kill();
        killed++;
        killsWhileStarting++;
      }
      await afterKill?.(killed, dataFolder);
      const began = performance.now();
      await Promise.race([failed, server.restart()]);
      startMs.push(performance.now() - began);
      print(`kill ${killed} of ${kills}, ${history.events.length} operations so far`);
    }
    stopped = true;
    recorder.giveUpAfter(drainMsMax);
    await running;
    await readEverything(work);
    // Once more from disk, nothing running meanwhile.
    await server.kill();
    await server.restart();
    await readEverything(work);
    await server.stop();
  } catch (cause) {
    stopped = true;
    throw new Error(`seed ${seed}, kill ${killed}: ${(cause as Error).message}\n${server.output.slice(-4000)}`, {
      cause,
    });
  } finally {
    recorder.giveUpAfter(0);
    await server.kill();
    await http.close();
    history.close();
  }
  const initial = { accounts: Object.fromEntries(accounts.map((key) => [key, initialBalance])) };
  const violations = checkHistory(history.events, initial);
  const { counts } = recorder;
  return { kills: killed, killsWhileStarting, events: history.events, violations, counts, historyPath, startMs };
}

async function openAccounts(recorder: Recorder, work: Work): Promise<void> {
  for (const key of accounts) {
    const step = steps.write({ client: 0, use: 'account', key }, String(initialBalance), work.nextId());
    const { outcome } = await recorder.look(step);
    if (outcome !== 'ok') throw new Error(`account ${key} could not be opened: ${outcome}`);
  }
}

async function readEverything(work: Work): Promise<void> {
  for (const [key, use] of work.keys) {
    await work.recorder.carryOut(steps.read({ client: 0, use, key }, true));
  }
  const audit = await audited(work, 0);
  if (audit === undefined) throw new Error('the accounts could not be audited at the end, though nothing was running');
}
