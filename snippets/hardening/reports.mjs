// --8<-- [start:reports]
import express from 'express';
import { rateLimit } from 'express-rate-limit';

const text = (value) =>
  typeof value === 'string' ? value.slice(0, 200) : '';
const few = () => [rateLimit({ windowMs: 60_000, limit: 30 })];

/** Where browsers send what a policy stopped, or would have. Anybody can
 * send anything: few, small, and logged as data. */
export function reports({ logger, limits = few() }) {
  const router = express.Router();
  const read = express.json({ limit: '8kb', type: 'application/csp-report' });
  router.post('/csp-reports', ...limits, read, (req, res) => {
    const report = req.body?.['csp-report'];
    if (!report) return res.sendStatus(400);
    logger.info(
      {
        directive: text(report['effective-directive']),
        blocked: text(report['blocked-uri']),
        page: text(report['document-uri']),
      },
      'csp report',
    );
    return res.sendStatus(204);
  });
  return router;
}
// --8<-- [end:reports]
