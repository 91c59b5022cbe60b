// --8<-- [start:upload]
import express from 'express';
import multer from 'multer';

export function createApp({ folder }) {
  const storage = multer.diskStorage({
    destination: folder,
    filename: (req, file, done) => done(null, file.originalname),
  });
  const fileFilter = (req, file, done) =>
    done(null, file.mimetype.startsWith('image/')); // as the client says
  const upload = multer({ storage, fileFilter });
  const app = express();
  app.post('/photos', upload.single('photo'), (req, res) =>
    res.status(201).json({ url: `/photos/${req.file?.filename}` }),
  );
  app.use('/photos', express.static(folder));
  return app;
}
// --8<-- [end:upload]
