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
  if (zero.test(trace) || zero.test(parent)) return null;
  return { trace, sampled: Number.parseInt(flags, 16) & 1 };
}

/** At the edge each request begins a trace: a stranger's would mix its lines
 * with others'. Where only our services call, `inside`, the caller's goes on.
 * This request is its span. */
export const tracing = ({ inside = false } = {}) =>
  function traced(req, res, next) {
    const span = randomBytes(8).toString('hex');
    const begun = { trace: randomBytes(16).toString('hex'), sampled: 0 };
    const came = parse(req.headers.traceparent);
    const own = inside && came ? came : { ...begun, link: came?.trace };
    // whatever this request starts, timers and promises too, will find it
    requests.run({ ...own, span }, next);
  };
export const traced = tracing();

/** What every line of this request says; nothing outside of requests. */
export function inLogs() {
  const { trace, span, link } = requests.getStore() ?? {};
  return trace ? { trace, span, link } : {};
}

/** For each request that this one makes of another service. */
export function outgoing() {
  const { trace, span, sampled } = requests.getStore() ?? {};
  return trace ? { traceparent: `00-${trace}-${span}-0${sampled}` } : {};
}
// --8<-- [end:context]
