/* eslint-disable security/detect-non-literal-fs-filename --
   the names are those of the folder itself, the orders ours */
import express from 'express';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const KEYS = new Map([
  ['ann-key', 'ann'],
  ['bob-key', 'bob'],
]);
export const OWNERS = new Map([
  ['ord_1', 'ann'],
  ['ord_10', 'bob'],
]);

export function createApp({ signal } = {}) {
  const root = shop(signal);
  const app = express();
  app.use((req, res, next) => {
    req.user = KEYS.get(req.get('X-Key'));
    return req.user ? next() : res.sendStatus(401);
  });
  app.get('/attachments', async (req, res) => {
    const { order, name } = req.query;
    // the order is one that we know, and its owner's, before it is a folder
    if (OWNERS.get(order) !== req.user) return res.sendStatus(404);
    const folder = path.join(root, order);
    // what the client sent picks a name from a list, and never is a path
    const found = (await readdir(folder)).find((one) => one === name);
    if (!found) return res.sendStatus(404);
    res.attachment(found).type('application/octet-stream');
    res.set('X-Content-Type-Options', 'nosniff');
    return res.sendFile(found, { root: folder });
  });
  return app;
}

/** A folder with attachments, and beside it what is nobody's business. */
function shop(signal) {
  const home = mkdtempSync(path.join(tmpdir(), 'shop-'));
  signal?.addEventListener('abort', () =>
    rmSync(home, { recursive: true, force: true }),
  );
  const files = {
    'keys.txt': 'the key of the shop',
    'attachments/ord_1/invoice.txt': 'tea, for Ann',
    'attachments/ord_1/drawing.svg':
      '<svg xmlns="http://www.w3.org/2000/svg"/>',
    'attachments/ord_10/invoice.txt': 'coffee, for Bob',
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(home, name)), { recursive: true });
    writeFileSync(path.join(home, name), text);
  }
  return path.join(home, 'attachments');
}
