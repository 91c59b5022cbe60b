// --8<-- [start:end]
/** What `promise` gives, unless the signal aborts before. */
export function withEnd(promise, signal) {
  const { promise: ended, reject } = Promise.withResolvers();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return Promise.race([promise, ended]).finally(() =>
    signal.removeEventListener('abort', onAbort),
  );
}
// --8<-- [end:end]
