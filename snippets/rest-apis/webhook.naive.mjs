// --8<-- [start:webhook]
import express from 'express';
import { createHmac } from 'node:crypto';

/** Checks the signature of what was parsed, and works before it answers. */
export function webhook({ secret, handle }) {
  const router = express.Router();
  router.post('/', express.json(), async (req, res) => {
    const text = JSON.stringify(req.body);
    const right = createHmac('sha256', secret).update(text).digest('hex');
    if (req.get('Webhook-Signature') !== right) return res.sendStatus(401);
    await handle(req.body);
    return res.sendStatus(204);
  });
  return router;
}
// --8<-- [end:webhook]
