// --8<-- [start:errors]
/** Tells the client everything, believes any status, logs nothing, and
 * leaves whoever has begun an answer waiting. */
export function errorHandler() {
  return (error, req, res, next) => {
    if (res.headersSent) return;
    res.status(error.status || 500).send(error.stack);
  };
}

export const guarded = (next, callback) => callback;
// --8<-- [end:errors]
