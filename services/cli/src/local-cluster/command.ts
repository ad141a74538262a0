// Runs a short command of the system to its end: ip, mount, umount.
import { execFile } from 'node:child_process';

const commandTimeoutMs = 15_000;

/** Its standard output. Rejects with what it complained of. */
export function run(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { timeout: commandTimeoutMs, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${file} ${args.join(' ')}: ${stderr.trim() || error.message}`, { cause: error }));
    });
  });
}
