import express from 'express';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { withEnd } from '../databases/end.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { Problem } from './problem.mjs';

// --8<-- [start:webhook]
/** Takes webhooks as Standard Webhooks signs them: over id, time and the raw
 * bytes. `enqueue({ id, event })` stores the event once for each id, durably;
 * the work comes later. Several `secrets` are right while one is replaced.
 * @param {{ secrets: Buffer[], enqueue: Function, toleranceMs?: number,
 *   mostMs?: number, limit?: string, now?: () => number }} deps */
export function webhook({ secrets, enqueue, ...deps }) {
  const { toleranceMs = 300_000, mostMs = 2000, limit = '256kb' } = deps;
  const { now = Date.now } = deps;
  numbers({ toleranceMs, mostMs }, { least: 1, most: WAIT.most });
  if (!secrets?.length) throw new TypeError('secrets: none');
  const router = express.Router();
  // every type, and as bytes: JSON that was parsed and written is other bytes
  const raw = express.raw({ type: () => true, limit });
  router.post('/', raw, async (req, res) => {
    const body = Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0);
    const [id, time] = [req.get('Webhook-Id'), req.get('Webhook-Timestamp')];
    const given = req.get('Webhook-Signature') ?? '';
    const signed = secrets.some((secret) =>
      isSigned({ secret, id, time, body, given }),
    );
    if (!signed) throw new Problem(401, 'The signature is not right.');
    // a request that somebody recorded is right, and old
    const old = Math.abs(now() - Number(time) * 1000) > toleranceMs;
    if (old) throw new Problem(401, 'It is too old, or not yet.');
    const event = parse(body);
    const late = AbortSignal.timeout(mostMs);
    // not stored: no 2xx, and the sender comes again
    await withEnd(Promise.try(enqueue, { id, event }), late);
    res.sendStatus(204);
  });
  return router;
}
// --8<-- [end:webhook]

// --8<-- [start:signature]
function isSigned({ secret, id, time, body, given }) {
  if (!/^[\w-]{1,100}$/.test(id ?? '') || !/^\d{1,12}$/.test(time ?? ''))
    return false;
  const hmac = createHmac('sha256', secret).update(`${id}.${time}.`);
  const right = hmac.update(body).digest();
  // "v1,BASE64", several with blanks between them
  return given.split(' ', 10).some((one) => {
    const [version, text = ''] = one.split(',');
    const bytes = Buffer.from(text, 'base64');
    return (
      version === 'v1' &&
      bytes.length === right.length && // or timingSafeEqual throws
      timingSafeEqual(bytes, right)
    );
  });
}

function parse(body) {
  try {
    return JSON.parse(body);
  } catch {
    throw new Problem(400, 'The body is not JSON.');
  }
}
// --8<-- [end:signature]
