// --8<-- [start:watch]
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';

/** Watches this process's loop. `read()` gives what happened since the last
 * call: the delay in ms beyond the sampling step, and how busy the loop was,
 * from 0 to 1. Stop it with the `signal`.
 * @param {{ signal?: AbortSignal, resolution?: number }} [options] */
export function watchLoop({ signal, resolution = 10 } = {}) {
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  signal?.addEventListener('abort', () => delay.disable());
  let last = performance.eventLoopUtilization();

  return function read() {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - resolution);
    const seen = { p99: late(delay.percentile(99)), max: late(delay.max) };
    delay.reset();
    return { ...seen, utilization };
  };
}
// --8<-- [end:watch]
