// --8<-- [start:nightly]
import cluster from 'node:cluster';

/** Sends the mail of the day in "the first worker" only. */
export function startNightly({ mail, everyMs = 60_000 }) {
  if (cluster.worker?.id !== 1) return;
  setInterval(mail, everyMs);
}
// --8<-- [end:nightly]
