// --8<-- [start:version]
import { Problem } from './problem.mjs';

/** Strong: a version names one state, byte for byte. Express's own ETag is
 * weak, and If-Match never matches a weak one (RFC 9110, 13.1.1). */
export const etag = ({ version }) => `"${version}"`;

/** Throws unless the client has seen this very version.
 * @param {import('express').Request} req
 * @param {{ version: number }} order */
export function mustMatch(req, order) {
  const given = req.get('If-Match');
  if (!given) throw new Problem(428, 'Say which version with If-Match.');
  const tags = given.split(',').map((tag) => tag.trim());
  if (!tags.every((tag) => /^(W\/)?"[\w-]*"$|^\*$/.test(tag))) {
    throw new Problem(400, 'If-Match: a tag, in its quotes.');
  }
  if (!tags.includes(etag(order)) && given.trim() !== '*') {
    const headers = { ETag: etag(order) };
    throw new Problem(412, 'The order is another by now.', { headers });
  }
}
// --8<-- [end:version]
