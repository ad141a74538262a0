// The health check of a container, which has no curl: `node healthy.ts URL…` ends with 0 where one of the URLs
// answers 200.
import { get } from 'node:http';

const timeoutMs = 4000;

function answers(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: timeoutMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

const answered = await Promise.all(process.argv.slice(2).map(answers));
process.exit(answered.includes(true) ? 0 : 1);
