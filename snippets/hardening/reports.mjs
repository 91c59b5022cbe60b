// --8<-- [start:reports]
import express from 'express';

const TYPES = ['application/csp-report', 'application/reports+json'];
const text = (value) => String(value ?? '').slice(0, 200);

/** Where browsers send what a policy stopped, or would have. Anybody can
 * send anything: small, rated (`limits`), and logged as data. */
export function reports({ logger, limits = [] }) {
  const router = express.Router();
  const read = express.json({ limit: '8kb', type: TYPES });
  router.post('/csp-reports', ...limits, read, (req, res) => {
    const report = req.body?.['csp-report'] ?? {};
    logger.info(
      {
        directive: text(report['effective-directive']),
        blocked: text(report['blocked-uri']),
        page: text(report['document-uri']),
      },
      'csp report',
    );
    res.sendStatus(204);
  });
  return router;
}
// --8<-- [end:reports]
