// --8<-- [start:signin]
import express from 'express';

export function createApp() {
  const app = express();
  app.use(express.json());
  app.post('/signin', (req, res) => {
    console.log('sign-in failed for ' + req.body.user);
    res.sendStatus(401);
  });
  app.get('/search', (req, res) => {
    console.log('searched for ' + req.query.q);
    res.json([]);
  });
  return app;
}
// --8<-- [end:signin]
