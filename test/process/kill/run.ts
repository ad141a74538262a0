// The kill test itself: the real process under load, killed with SIGKILL at random moments and started
// again on the same folder and port, then a history for the checker. Everything random comes from the
// seed, except for what the operating system adds in timing.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Violation } from '../../history/checker/violation.ts';
import { checkHistory } from '../../history/history-checker.ts';
import type { HistoryEvent } from '../../history/history.ts';
import { HistoryFile } from '../../history/history.ts';
import { accounts, initialBalance } from '../../load/clients.ts';
import { Load } from '../../load/load.ts';
import type { RecorderCounts } from '../../load/recorder.ts';
import { DevServer } from '../dev-server.ts';
import { SeededRandom } from '../seeded-random.ts';

export interface KillSettings {
  readonly kills: number;
  readonly seed: number;
  /** Data of the server, and the history. */
  readonly folder: string;
  readonly print: (text: string) => void;
  /** Asked when there were `kills`: false goes on killing, up to three times as often. A slow machine does little in between. */
  readonly isEnough?: (events: readonly HistoryEvent[], counts: RecorderCounts) => boolean;
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
const thinkMsMax = 4;
const moreKillsMax = 3;

export async function runKills(settings: KillSettings): Promise<KillReport> {
  const { kills, seed, folder, print, isEnough = () => true, afterKill } = settings;
  const random = new SeededRandom(seed);
  const dataFolder = join(folder, 'data');
  const server = await DevServer.start({ folder: dataFolder });
  const historyPath = join(folder, 'history.ndjson');
  const history = new HistoryFile(historyPath);
  let killed = 0;
  let killsWhileStarting = 0;
  const generation = (): number => Math.floor(killed / killsPerGeneration);
  const gateways = [{ name: 'dev', url: server.url }];
  const load = await Load.start({ seed, gateways, history, faults: ['kill'], thinkMsMax, generation });
  const startMs: number[] = [];
  try {
    const goesOn = (): boolean =>
      killed < kills || (killed < kills * moreKillsMax && !isEnough(history.events, load.recorder.counts));
    while (goesOn()) {
      await sleep(upMsMin + random.below(upMsMax - upMsMin));
      load.check();
      await server.kill();
      killed++;
      if (killed < kills && random.chance(startingKillShare)) {
        server.spawn();
        await sleep(random.below(startingMsMax));
        await server.kill();
        killed++;
        killsWhileStarting++;
      }
      await afterKill?.(killed, dataFolder);
      const began = performance.now();
      await server.restart();
      startMs.push(performance.now() - began);
      print(`kill ${killed} of ${kills}, ${history.events.length} operations so far`);
    }
    await load.stop();
    await load.readEverything();
    // Once more from disk, nothing running meanwhile.
    await server.kill();
    await server.restart();
    await load.readEverything();
    await server.stop();
    const [unexplained] = load.recorder.unexplained;
    if (unexplained !== undefined) throw new Error(unexplained);
  } catch (cause) {
    throw new Error(`seed ${seed}, kill ${killed}: ${(cause as Error).message}\n${server.output.slice(-4000)}`, {
      cause,
    });
  } finally {
    await load.close();
    await server.kill();
    history.close();
  }
  const initial = { accounts: Object.fromEntries(accounts.map((key) => [key, initialBalance])) };
  const violations = checkHistory(history.events, initial);
  const { counts } = load.recorder;
  return { kills: killed, killsWhileStarting, events: history.events, violations, counts, historyPath, startMs };
}
