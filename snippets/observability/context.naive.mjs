// --8<-- [start:context]
import { randomUUID } from 'node:crypto';

let request = {};

export function traced(req, res, next) {
  request = { trace: req.headers['x-request-id'] ?? randomUUID() };
  next();
}

export const inLogs = () => request;
// --8<-- [end:context]
