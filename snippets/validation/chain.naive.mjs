// --8<-- [start:chain]
import { body } from 'express-validator';

export const validateReview = [body('email').isEmail()];
// --8<-- [end:chain]

// --8<-- [start:app]
import express from 'express';

export function createApp() {
  const app = express();
  app.post('/user', express.json(), validateReview, (req, res) =>
    res.send('Validated'),
  );
  return app;
}
// --8<-- [end:app]
