// --8<-- [start:cors]
import cors from 'cors';

/** The front end had an error about CORS. Now it has none. */
export function crossOrigin() {
  return cors({ origin: true, credentials: true });
}
// --8<-- [end:cors]
