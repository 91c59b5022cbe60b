// --8<-- [start:outbound]
const INSIDE = /^(localhost|127\.|10\.|192\.168\.|169\.254\.)/;

const hostOf = (url) => new URL(url).hostname;

/** `resolve(host)` gives an address, `fetch` is what fetches in the end. */
export const fetchers = ({ resolve, forbidden, fetch }) => ({
  async 'text looked at'(url) {
    if (INSIDE.test(url.replace(/^https?:\/\//, ''))) throw new Error('no');
    return fetch(url);
  },
  async 'host name looked at'(url) {
    if (INSIDE.test(hostOf(url))) throw new Error('no');
    return fetch(url);
  },
  async 'address looked up first'(url) {
    const host = hostOf(url).replace(/^\[|\]$/g, '');
    if (forbidden(await resolve(host))) throw new Error('no');
    return fetch(url); // which looks it up again, and follows redirects
  },
});
// --8<-- [end:outbound]
