// --8<-- [start:search]
import express from 'express';

// After a word there is a space or the end, so there is one way to match:
// what fails, fails after one pass.
const WORDS = /^[a-zA-Z0-9]+(?:\s[a-zA-Z0-9]+)*\s?$/;
const LONGEST = 200;

/** @param {{ find?: (words: string) => Promise<unknown[]> }} [deps] */
export function createApp({ find = async () => [] } = {}) {
  const app = express();
  app.get('/health', (req, res) => res.json({ ok: true }));

  app.get('/search', async (req, res) => {
    const { q } = req.query; // an array when it is sent twice
    if (typeof q !== 'string' || q.length > LONGEST || !WORDS.test(q)) {
      return res.status(400).json({ error: 'words and digits, at most 200' });
    }
    return res.json(await find(q));
  });
  return app;
}
// --8<-- [end:search]
