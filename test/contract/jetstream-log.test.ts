// The log over JetStream against the contract of every log: one server, and three with a copy each.
import { afterAll, beforeAll, describe } from 'vitest';
import { JetStreamServers } from './jetstream-fixture.ts';
import { logContract } from './log-contract.ts';

for (const servers of [1, 3] as const) {
  describe(`${servers} servers`, () => {
    let running: JetStreamServers;
    beforeAll(async () => {
      running = await JetStreamServers.start({ servers });
    });
    afterAll(() => running.stop());

    logContract(`JetStream, R${servers}`, () => running.make());
  });
}
