// --8<-- [start:gone]
import { Problem } from './problem.mjs';

/** `req.gone` is a signal that aborts when the client hangs up before its
 * answer. It is made once, here, and handed to whatever this request asks. */
export function clientGone(req, res, next) {
  const gone = new AbortController();
  const why = new Problem(499, 'The client is gone.'); // as nginx logs it
  res.once('close', () => {
    if (!res.writableFinished) gone.abort(why);
  });
  req.gone = gone.signal;
  next();
}
// --8<-- [end:gone]
