// Before the tests of a file: the ports that its servers may have, which those of files that run at the same time
// cannot. A port that nobody listens on may be one that another file has just chosen, or whose server is down.
const first = 10_000;
const end = 32_000;
const shares = 32;
const workersMax = 8;
const share = Math.floor((end - first) / shares);

// Other runs on this machine are likely to begin elsewhere: their number is that of the process that runs all workers.
const worker = (process.ppid * workersMax + Number(process.env['VITEST_POOL_ID'] ?? 0)) % shares;
process.env['STATESTORE_TEST_PORTS'] = `${first + worker * share}-${first + (worker + 1) * share}`;
