// --8<-- [start:kind]
const IMAGES = [
  { type: 'image/png', magic: '89504e470d0a1a0a' },
  { type: 'image/jpeg', magic: 'ffd8ff' },
  { type: 'image/gif', magic: '474946383761' }, // GIF87a
  { type: 'image/gif', magic: '474946383961' }, // GIF89a
];

/** The type by the first bytes, or undefined. Neither the name nor the
 * `Content-Type` of a part is asked: both are the client's. */
export function kindOf(bytes) {
  const head = bytes.subarray(0, 8).toString('hex');
  return IMAGES.find(({ magic }) => head.startsWith(magic))?.type;
}
// --8<-- [end:kind]

// --8<-- [start:upload]
import express from 'express';
import multer from 'multer';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { problem } from './validate.mjs';

const limits = { fileSize: 100_000, files: 1, fields: 0, parts: 1 };

/** `photos`: a store with get(id) and set(id, { type, bytes }). */
export function createApp({ photos = inMemory() } = {}) {
  const upload = multer({ storage: multer.memoryStorage(), limits });
  const app = express();

  const form = refuseBadForms(upload.single('photo'));
  app.post('/photos', form, async (req, res) => {
    if (!req.file) return problem(res, 400, 'No photo was sent');
    const type = kindOf(req.file.buffer);
    if (!type) return problem(res, 415, 'A PNG, JPEG or GIF is needed');
    const id = randomUUID(); // the client's name never is one of ours
    await photos.set(id, { type, bytes: req.file.buffer });
    return res.status(201).json({ url: `/photos/${id}` });
  });

  app.get('/photos/:id', async (req, res) => {
    const photo = await photos.get(req.params.id);
    if (!photo) return res.sendStatus(404);
    // a file may be two things at once: it is shown as the one we checked
    res.set('X-Content-Type-Options', 'nosniff');
    res.set('Content-Security-Policy', "default-src 'none'; sandbox");
    return res.type(photo.type).send(photo.bytes);
  });
  return app;
}
// --8<-- [end:upload]

// --8<-- [start:errors]
/** `parse`, whose errors are its sender's: the parser throws plain ones, too,
 * for a form that is cut off or has no boundary. What is ours goes on. */
function refuseBadForms(parse) {
  return (req, res, next) =>
    parse(req, res, (error) => {
      if (!error) return next();
      const status = error.code === 'LIMIT_FILE_SIZE' ? 413 : 400;
      const why = error.code ?? 'not a form we can read';
      return problem(res, status, `The upload was refused: ${why}`);
    });
}
// --8<-- [end:errors]

// --8<-- [start:room]
/** For a trial, with room for `most`: else one client fills the memory. */
export function inMemory(most = 1000) {
  const photos = new Map();
  return {
    get: (id) => photos.get(id),
    set(id, photo) {
      if (photos.size >= most) throw new Error('No room for more photos');
      photos.set(id, photo);
    },
  };
}

/** A server for uploads: who sends `rate` bytes a second has time enough for
 * `bytes`. The time is a server's, not a route's, and ends with the body. */
export function uploadServer(app, options = {}) {
  const { bytes = limits.fileSize, rate = 4000, ...more } = options;
  const headersTimeout = 10_000;
  const requestTimeout = headersTimeout + Math.ceil((1000 * bytes) / rate);
  return createServer({ headersTimeout, requestTimeout, ...more }, app);
}
// --8<-- [end:room]
