// --8<-- [start:depth]
/** Whether objects and lists are nested deeper than `max`. A loop: recursion
 * would be what it is to prevent. */
export function isDeeper(value, max) {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    const nested = level.filter(
      (one) => one !== null && typeof one === 'object',
    );
    if (nested.length > 0 && depth >= max) return true;
    level = nested.flatMap((one) => Object.values(one));
  }
  return false;
}
// --8<-- [end:depth]

// --8<-- [start:threads]
import express from 'express';
import { z } from 'zod';
import { parserOf } from './parser.mjs';
import { bodyErrors, jsonBody, validate } from './validate.mjs';

const Comment = z.strictObject({
  text: z.string().max(500),
  get replies() {
    return z.array(Comment).max(100).optional();
  },
});
const parseComment = parserOf(Comment);

function parseThread(body) {
  // a reply is two levels: the list, and the comment
  if (!isDeeper(body, 20)) return parseComment(body);
  return { errors: [{ pointer: '#', detail: 'Nested too deeply' }] };
}

export function createApp() {
  const app = express();
  const read = [jsonBody({ limit: '100kb' }), validate(parseThread)];
  app.post('/threads', read, (req, res) => res.sendStatus(201));
  app.use(bodyErrors);
  return app;
}
// --8<-- [end:threads]
