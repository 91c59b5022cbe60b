// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { createServer } from 'node:http';
import { get } from '../../guide/company/helpers.mjs';

export const recipes = {
  'clustering/report.mjs#createApp': {
    deps: () => ({ threads: 1, to: 1000 }),
    requests: [get('/report', 200), get('/health', 200)],
  },
  'clustering/nightly.mjs#createNightly': {
    deps: () => ({
      redis: { set: async () => 'OK', eval: async () => 1 },
      name: 'mail',
      work: async () => {},
      mostMs: 500,
      leaseMs: 1000,
    }),
    use: (tick) => tick(),
    numbers: { mostMs: 500, leaseMs: 1000 },
    deadline: 2000,
  },
  'clustering/shutdown.mjs#drainable': {
    make: (drainable, deps) => {
      const server = createServer((req, res) => res.writeHead(204).end());
      return {
        server,
        drain: drainable(server, { patienceMs: 500, ...deps }),
      };
    },
    serve: ({ server }) => server,
    requests: [get('/', 204)],
    close: ({ drain }) => drain(),
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    clustering/primes.mjs#countPrimes
    clustering/ring.mjs#createRing
    clustering/ring.mjs#byModulo
  `,
  "is a process's own, and the tests of this topic end that process in every way": `
    clustering/respawn.mjs#supervise
    clustering/reuse-port.mjs#listen
    clustering/worker.mjs#serve
  `,
  'measures, attacks or shows a fault: no page says to take it': `
    clustering/shop.mjs#createApp
  `,
};
