// --8<-- [start:message]
import { numbers } from './numbers.mjs';

/** Receives messages of a queue or a WebSocket: bytes that somebody sent.
 * What cannot be read now never can: it goes to `refuse`, not back to the
 * queue. What `handle` throws goes up, to be tried again. */
export function receiverOf({ parse, handle, refuse, maxBytes = 10_000 }) {
  numbers({ maxBytes });
  return async function receive(bytes) {
    const { value, errors } = await read(bytes, parse, maxBytes);
    if (errors) return refuse(errors);
    return handle(value);
  };
}

function read(bytes, parse, maxBytes) {
  const refused = (detail) => ({ errors: [{ pointer: '#', detail }] });
  // an ArrayBuffer has no `length`, and a list of fragments has another one
  if (!(bytes.byteLength <= maxBytes))
    return refused('Too long, or no bytes');
  let json;
  try {
    json = JSON.parse(
      new TextDecoder('utf-8', { fatal: true }).decode(bytes),
    );
  } catch {
    return refused('Not JSON in UTF-8');
  }
  return parse(json);
}
// --8<-- [end:message]
