// --8<-- [start:redirect]
/** An address on our own site from what the client sent, or `home`. The
 * whole address: the path alone may be `//evil.test`, which is a host. */
export function destination(next, origin, home = '/') {
  const path = typeof next === 'string' && next.startsWith('/') ? next : home;
  const url = URL.parse(path, origin); // null for `//[`
  return url?.origin === origin ? url.href : new URL(home, origin).href;
}
// --8<-- [end:redirect]
