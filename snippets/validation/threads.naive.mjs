// --8<-- [start:threads]
import express from 'express';
import { z } from 'zod';

const Comment = z.strictObject({
  text: z.string().max(500),
  get replies() {
    return z.array(Comment).optional();
  },
});

export function createApp() {
  const app = express();
  app.post('/threads', express.json({ limit: '50mb' }), (req, res) => {
    const { success } = Comment.safeParse(req.body); // "never throws"
    return res.sendStatus(success ? 201 : 400);
  });
  return app;
}
// --8<-- [end:threads]
