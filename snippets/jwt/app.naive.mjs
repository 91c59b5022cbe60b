// --8<-- [start:app]
import express from 'express';
import jwt from 'jsonwebtoken';

export function createApp({ check = async () => null, orders = [] } = {}) {
  const app = express();

  app.post('/login', express.json(), async (req, res) => {
    const user = await check(req.body.email, req.body.password);
    if (!user) return res.sendStatus(401);
    const secret = process.env.JWT_SECRET;
    const token = jwt.sign({ id: user.id }, secret, { expiresIn: '1h' });
    res.cookie('token', token, { httpOnly: true, secure: true });
    return res.json({ token }); // for those who keep it in localStorage
  });

  app.use((req, res, next) => {
    const token =
      req.get('Authorization')?.split(' ')[1] ??
      req.get('Cookie')?.split('token=')[1];
    req.user = jwt.verify(token, process.env.JWT_SECRET);
    next();
  });
  app.get('/me', (req, res) => res.json({ id: req.user.id }));
  app.post('/orders', (req, res) => {
    res.status(201).json({ placed: orders.push(req.user.id) });
  });
  return app;
}
// --8<-- [end:app]
