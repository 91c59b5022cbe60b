// FRAMEWORK=http|express|fastify MIDDLEWARE=0 node serve.mjs FILE
// --8<-- [start:frameworks]
import express from 'express';
import fastify from 'fastify';

const answer = { id: 'ord_1', status: 'open', total: 1598, version: 1 };

const frameworks = {
  http: () => (req, res) => {
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify(answer));
  },
  express(middleware) {
    const app = express();
    for (let i = 0; i < middleware; i += 1)
      app.use((req, res, next) => next());
    app.get('/orders/:id', (req, res) => res.json(answer));
    return app;
  },
  async fastify() {
    const app = fastify();
    app.get('/orders/:id', async () => answer);
    await app.ready();
    return app.routing;
  },
};

export function createApp() {
  const { FRAMEWORK = 'express', MIDDLEWARE = '0' } = process.env;
  return frameworks[FRAMEWORK](Number(MIDDLEWARE));
}
// --8<-- [end:frameworks]
