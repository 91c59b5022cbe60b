// --8<-- [start:context]
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';

const requests = new AsyncLocalStorage();
const HEADER = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})$/;

/** W3C trace context. What is not one is nothing: clients write headers. */
export function parse(header = '') {
  const [, version, trace, parent, flags] = HEADER.exec(header) ?? [];
  const zero = /^0+$/;
  if (!version || version === 'ff') return null;
  return zero.test(trace) || zero.test(parent) ? null : { trace, flags };
}

/** The caller's trace goes on, or one begins; this request is its span. */
export function traced(req, res, next) {
  const span = randomBytes(8).toString('hex');
  const begun = { trace: randomBytes(16).toString('hex'), flags: '00' };
  const request = { ...(parse(req.headers.traceparent) ?? begun), span };
  // whatever this request starts, timers and promises too, will find it
  requests.run(request, next);
}

/** What every line of this request says; nothing outside of requests. */
export function inLogs() {
  const { trace, span } = requests.getStore() ?? {};
  return trace ? { trace, span } : {};
}

/** For each request that this one makes of another service. */
export function outgoing() {
  const { trace, span, flags } = requests.getStore() ?? {};
  return trace ? { traceparent: `00-${trace}-${span}-${flags}` } : {};
}
// --8<-- [end:context]
