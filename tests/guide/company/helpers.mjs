// What several topics' recipes use.
import { createRequire } from 'node:module';

export const require = createRequire(
  new URL('../../../snippets/', import.meta.url),
);

export const express = require('express');

export const JSON_TYPE = { 'Content-Type': 'application/json' };

export const json = (where, value, status, more = {}) => ({
  method: 'POST',
  path: where,
  headers: { ...JSON_TYPE, ...more.headers },
  body: typeof value === 'function' ? value : JSON.stringify(value),
  status,
  ...(more.asks && { asks: more.asks }),
});

export const get = (where, status, more) => ({
  path: where,
  status,
  ...more,
});

export const ann = () => ({ id: 'ann' });

export const asked = { asks: 'authenticate' };

/** A middleware by itself, behind which everything is fine. */
export const behind = (middleware) => {
  const app = express();
  app.use(...[middleware].flat(), (req, res, next) => next());
  app.get('/', (req, res) => res.sendStatus(204));
  app.use((error, req, res, next) =>
    res.headersSent ? next(error) : res.sendStatus(error.status ?? 500),
  );
  return app;
};

/** Middleware that answers what the app in front of it threw. */
export const afterwards = (handler) => {
  const app = express();
  app.get('/', (req, res) => res.sendStatus(204));
  app.get('/fails', async () => Promise.reject(new Error('played')));
  app.get('/fails-with-nothing', async () => Promise.reject(undefined));
  app.use(...[handler].flat());
  return app;
};

export const place = { items: [{ sku: 'tea', quantity: 1 }] };

export const once = (event, emitter) =>
  new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

export const redisInMemory = () => {
  const kept = new Map();
  return {
    set: async (key, value) => kept.set(key, value) && 'OK',
    exists: async (key) => Number(kept.has(key)),
    eval: async () => 1,
    del: async (key) => Number(kept.delete(key)),
  };
};
