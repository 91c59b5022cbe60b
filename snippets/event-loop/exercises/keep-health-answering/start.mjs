import express from 'express';
import { createHash } from 'node:crypto';

function link(head, event) {
  return createHash('sha256').update(head).update(event).digest('hex');
}

export function createApp() {
  const app = express();
  app.get('/health', (req, res) => res.json({ ok: true }));

  app.post('/audit', express.text({ limit: '20mb' }), (req, res) => {
    if (typeof req.body !== 'string') return res.sendStatus(415);
    const events = req.body.split('\n');
    let head = '';
    for (const event of events) head = link(head, event);
    return res.json({ events: events.length, head });
  });
  return app;
}
