// --8<-- [start:shutdown]
import { setTimeout as sleep } from 'node:timers/promises';
import { drainable } from '../clustering/shutdown.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { deadline } from './deadline.mjs';

/** Ends a process in order. `leaving` aborts first: readiness says no,
 * streams end, consumers take nothing new. After `beforeMs`, when the
 * balancer has seen it, the server drains. Then `signal` aborts, and what was
 * given to `last(name, close)` is closed, newest first, all in `totalMs`.
 * @param {{ server: import('node:http').Server, logger?: object,
 *   beforeMs?: number, totalMs?: number, patienceMs?: number,
 *   quietMs?: number, stepMs?: number, exit?: (code: number) => void }}
 *   options */
export function createShutdown(options) {
  const {
    server,
    logger = console,
    beforeMs = 0,
    totalMs = 25_000,
  } = options;
  const { patienceMs = 8000, quietMs = 2000, stepMs = 3000 } = options;
  const { exit = (code) => process.exit(code) } = options;
  numbers({ beforeMs, totalMs, patienceMs, quietMs, stepMs }, WAIT);
  const [leaving, closed] = [new AbortController(), new AbortController()];
  const drain = drainable(server, { patienceMs, quietMs });
  const closers = [];
  const last = (name, close) => closers.unshift([name, close]);
  let code = 0;
  let under; // a signal may come twice, and an exception on the way

  function stop(why, failed = false) {
    if (failed) code = 1;
    under ??= leave(why);
    return under;
  }

  // --8<-- [end:shutdown]

  // --8<-- [start:leave]
  async function leave(why) {
    say('info', { why }, 'leaving');
    const late = setTimeout(() => end(1, 'too late'), totalMs);
    await step('leaving', () => leaving.abort());
    await step('wait', () => sleep(beforeMs), beforeMs + stepMs);
    const cut = await step('drain', drain, patienceMs + stepMs);
    if (cut) fail({ cut }, 'connections were cut');
    await step('signal', () => closed.abort());
    for (const [name, close] of closers) await step(name, close);
    clearTimeout(late);
    end(code, 'left');
  }
  // --8<-- [end:leave]

  // --8<-- [start:step]
  async function step(name, work, ms = stepMs) {
    const time = deadline(ms);
    try {
      return await time.run(work);
    } catch (error) {
      return fail({ error, step: name }, 'a step of the shutdown failed');
    } finally {
      time.end();
    }
  }

  function fail(fields, message) {
    code = 1;
    say('error', fields, message);
  }
  function end(withCode, message) {
    say(withCode ? 'error' : 'info', { code: withCode }, message);
    exit(withCode);
  }
  function say(level, ...line) {
    try {
      logger[level](...line);
    } catch {
      // a log that is full must not keep the process
    }
  }
  // --8<-- [end:step]

  // --8<-- [start:listen]
  /** What ends this process: once asked, and at once if somebody insists. */
  function listen() {
    process.on('SIGTERM', () => stop('SIGTERM'));
    process.on('SIGINT', () => (under ? exit(130) : stop('SIGINT')));
    const crash = (event) => (error) => {
      say('error', { error, event }, 'a bug: nobody caught this');
      stop(event, true);
    };
    for (const event of ['uncaughtException', 'unhandledRejection'])
      process.on(event, crash(event));
  }
  const { signal } = closed;
  return { leaving: leaving.signal, signal, last, stop, listen };
}
// --8<-- [end:listen]
