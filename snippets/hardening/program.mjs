// --8<-- [start:program]
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Problem } from '../rest-apis/problem.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';

const LIMITS = {
  encoding: 'buffer',
  maxBuffer: 10_000_000,
  killSignal: 'SIGKILL', // the default can be ignored
};
const exec = promisify(execFile);

/** Gives `run`: what a program prints, for the answer `res`. It has no shell,
 * and no environment but `env`. It is killed after `ms`, or when nobody waits
 * for it any more; `atOnce` run at most. */
export function programsOf({ env = {}, atOnce = 4, ms = 5000 } = {}) {
  numbers({ atOnce, ms }, { most: WAIT.most });
  let running = 0;
  return async function run(res, file, args, { cwd } = {}) {
    if (running >= atOnce)
      throw new Problem(503, 'Busy.', { headers: { 'Retry-After': '1' } });
    const gone = new AbortController();
    res.once('close', () => gone.abort());
    if (res.closed) gone.abort();
    const own = { ...LIMITS, cwd, env, timeout: ms, signal: gone.signal };
    running += 1;
    try {
      return (await exec(file, args, own)).stdout;
    } catch (error) {
      // nobody reads this answer, and nothing is wrong
      throw gone.signal.aborted ? new Problem(400, 'You left.') : error;
    } finally {
      running -= 1;
    }
  };
}
// --8<-- [end:program]
