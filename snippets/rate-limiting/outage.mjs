// REDIS_URL=… STORE=… node serve.mjs rate-limiting/outage.mjs: a limit of five
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import { RedisStore } from 'rate-limit-redis';
import { connect } from './connect.mjs';
import { stores } from './shared.mjs';
import { stores as naive } from './shared.naive.mjs';

// --8<-- [start:outage]
async function failingSoon(options) {
  const redis = await connect(options);
  const sendCommand = (...args) => redis.call(...args);
  return () => new RedisStore({ sendCommand });
}

const variants = {
  // ioredis as it comes, and all that express-rate-limit has to offer
  defaults: { make: naive, passOnStoreError: true },
  // refuses commands until it is connected, and is used before it is
  early: {
    make: (options) => naive({ ...options, enableOfflineQueue: false }),
  },
  failing: { make: failingSoon },
  passing: { make: failingSoon, passOnStoreError: true },
  fallback: { make: stores },
};

export async function createApp({ signal }) {
  const { REDIS_URL: url, STORE } = process.env;
  const { make, passOnStoreError } = variants[STORE];
  const store = (await make({ url, signal }))('outage');
  const app = express();
  app.use(rateLimit({ limit: 5, store, passOnStoreError }));
  app.get('/products', (req, res) => res.end());
  return app;
}
// --8<-- [end:outage]
