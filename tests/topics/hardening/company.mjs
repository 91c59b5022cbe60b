// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ordersOf } from '../../../snippets/hardening/orders.mjs';
import {
  ann,
  asked,
  behind,
  get,
  json,
} from '../../guide/company/helpers.mjs';

const FORM_TYPE = { 'Content-Type': 'application/x-www-form-urlencoded' };

const secretEnv = () => ({
  SIGNING_SECRET: randomBytes(32).toString('base64url'),
});

const folder = (files = {}) => {
  const made = mkdtempSync(path.join(tmpdir(), 'company-'));
  for (const [file, text] of Object.entries(files))
    writeFileSync(path.join(made, file), text);
  return made;
};

export const recipes = {
  'hardening/app.mjs#createApp': {
    deps: () => ({
      store: ordersOf([
        {
          id: 'ord_1',
          customer: 'ann',
          note: 'x',
          status: 'open',
          version: 1,
        },
      ]),
      check: async () => ({ id: 'ann' }),
      authenticate: ann,
      reportLimits: [],
    }),
    requests: [
      get('/orders', 200, asked),
      get('/orders/ord_1', 200, asked),
      {
        method: 'POST',
        path: '/login',
        headers: { ...FORM_TYPE, Origin: 'https://shop.test' },
        body: 'email=ann%40shop.test&password=x',
        status: 303,
      },
    ],
  },
  'hardening/archive.mjs#createApp': {
    deps: () => ({ folder: folder({ 'a.txt': 'a', 'terms.txt': 't' }) }),
    requests: [get('/archive?name=a.txt', 200), get('/archive?name=..', 400)],
  },
  'hardening/csrf.mjs#fromOurPages': {
    make: (fromOurPages) => behind(fromOurPages('https://shop.test')),
    requests: [get('/', 204), { method: 'POST', path: '/', status: 403 }],
  },
  'hardening/files.mjs#createApp': {
    deps: () => ({
      root: folder({ stored: 'x' }),
      files: {
        get: async () => ({ owner: 'ann', name: 'a.txt', stored: 'stored' }),
      },
      authenticate: ann,
    }),
    requests: [get('/files/1', 200, asked)],
  },
  'hardening/headers.mjs#headers': {
    make: (headers) => behind(headers()),
    requests: [get('/', 204)],
  },
  'hardening/leaks.mjs#createApp': {
    deps: () => ({
      env: { ...secretEnv(), PATH: process.env.PATH },
      printer: 'true',
    }),
    requests: [
      get('/orders/ord_1/link', 200),
      json('/labels', {}, 200),
      get('/carriers', 500),
    ],
  },
  'hardening/outbound.mjs#outboundOf': {
    deps: () => ({
      hosts: ['partner.test:443'],
      resolve: async () => [{ address: '127.0.0.1', family: 4 }],
      ms: 500,
    }),
    use: (read) => read('https://partner.test/'),
    deadline: true,
    numbers: { ms: 500, bytes: 1000 },
  },
  'hardening/passwords.mjs#passwordsOf': {
    deps: () => ({ ln: 10 }),
    use: async ({ hash, check }) => check('secret', await hash('secret')),
    numbers: { ln: 10, r: 8, p: 1, atOnce: 2 },
  },
  'hardening/reports.mjs#reports': {
    deps: () => ({ limits: [] }),
    make: (reports, deps) => behind(reports(deps)),
    requests: [
      {
        method: 'POST',
        path: '/csp-reports',
        headers: { 'Content-Type': 'application/csp-report' },
        body: '{"csp-report":{"blocked-uri":"inline"}}',
        status: 204,
      },
    ],
  },
  'hardening/session.mjs#sessionsOf': {
    deps: () => ({
      rows: {
        get: async () => undefined,
        set: async () => {},
        delete: async () => {},
      },
    }),
    use: (sessions) => sessions.userOf({ headers: {} }),
    numbers: { life: 1000 },
  },
  'hardening/settings.mjs#createApp': {
    deps: () => ({ authenticate: ann, isAdmin: async () => true }),
    requests: [
      {
        ...json('/settings', { theme: 'dark' }, 204, asked),
        method: 'PATCH',
      },
      get('/admin/orders', 200, { asks: 'isAdmin' }),
    ],
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    hardening/files.mjs#contained
    hardening/outbound.mjs#notPublic
    hardening/payloads.mjs#ELSEWHERE
    hardening/redirect.mjs#destination
    hardening/secrets.mjs#secretsFrom
    hardening/secrets.mjs#sign
    hardening/secrets.mjs#verify
    hardening/tokens.mjs#same
    hardening/view.mjs#list
    hardening/view.mjs#login
    hardening/view.mjs#page
  `,
  'is played as a part of the app that is made of it': `
    hardening/orders.mjs#ordersOf
    hardening/program.mjs#programsOf
  `,
  'needs a certificate, which tests/topics/hardening/ makes for it': `
    hardening/server.mjs#serverOf
  `,
  'measures, attacks or shows a fault: no page says to take it': `
    hardening/forgotten.mjs#createApp
    hardening/permission.mjs#probe
    hardening/smuggling.mjs#found
    hardening/smuggling.mjs#matrix
  `,
};
