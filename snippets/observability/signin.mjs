// --8<-- [start:signin]
import express from 'express';
import { createPino } from './loggers.mjs';
import { problems } from './request-log.mjs';

export function createApp({ logger = createPino() }) {
  const app = express();
  app.disable('x-powered-by');
  app.use(express.json({ limit: '1kb' }));
  // what a client says is a field's value: JSON escapes what ends a line
  const said = (text) =>
    typeof text === 'string' ? text.slice(0, 100) : null;
  app.post('/signin', (req, res) => {
    logger.info({ user: said(req.body?.user) }, 'sign-in failed');
    res.sendStatus(401);
  });
  app.get('/search', (req, res) => {
    logger.info({ q: said(req.query.q) }, 'searched');
    res.json([]);
  });
  app.use(problems({ logger })); // Express prints what the parser quotes
  return app;
}
// --8<-- [end:signin]
