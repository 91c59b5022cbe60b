import { Router } from 'express';
import { randomUUID } from 'node:crypto';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { withEnd } from '../databases/end.mjs';
import { Problem, methods } from './problem.mjs';

// --8<-- [start:jobs]
/** Work that takes longer than a request: `atOnce` at a time, `most` of them
 * known. In this process; what must survive it belongs into a table, see the
 * queue in databases. `work(input, { signal })` gives the result.
 * @param {{ work: Function, atOnce?: number, most?: number, mostMs?: number,
 *   keepMs?: number, signal?: AbortSignal, logger?: Console }} deps */
export function createJobs({ work, signal, logger = console, ...limits }) {
  const { atOnce = 2, most = 1000, mostMs = 600_000 } = limits;
  const { keepMs = 3_600_000 } = limits; // results are not kept for ever
  numbers({ atOnce, most });
  numbers({ mostMs, keepMs }, { least: 1, most: WAIT.most });
  const jobs = new Map(); // by owner and key: the same request, the same job
  const queue = [];
  let running = 0;
  signal?.addEventListener('abort', () => {
    for (const job of jobs.values()) job.stop.abort(signal.reason);
  });

  function add(owner, key, input) {
    const name = JSON.stringify([owner, key]);
    const known = jobs.get(name);
    if (known) return known;
    if (jobs.size >= most) throw new Problem(503, 'Too many jobs.', LATER);
    const stop = new AbortController();
    const job = { id: randomUUID(), owner, name, input, stop };
    jobs.set(name, Object.assign(job, { state: 'queued' }));
    queue.push(job);
    next();
    return job;
  }

  const find = (owner, id) =>
    [...jobs.values()].find((job) => job.id === id && job.owner === owner);

  function cancel(job) {
    if (over(job)) return;
    settle(job, { state: 'cancelled' });
    job.stop.abort(new Error('cancelled'));
  }
  // --8<-- [end:jobs]

  // --8<-- [start:work]
  const over = ({ state }) => !['queued', 'running'].includes(state);

  function settle(job, how) {
    if (over(job)) return; // it was cancelled meanwhile
    Object.assign(job, how);
    setTimeout(() => jobs.delete(job.name), keepMs).unref();
  }

  async function next() {
    if (running >= atOnce) return;
    const job = queue.shift();
    if (!job) return;
    if (over(job)) return void next();
    running += 1;
    job.state = 'running';
    const late = AbortSignal.timeout(mostMs);
    const ended = AbortSignal.any([job.stop.signal, late]);
    try {
      const task = Promise.try(work, job.input, { signal: ended });
      settle(job, { state: 'done', result: await withEnd(task, ended) });
    } catch (error) {
      if (!over(job)) logger.error({ error, job: job.id }, 'a job failed');
      settle(job, { state: 'failed' });
    } finally {
      running -= 1;
      next();
    }
  }
  return { add, find, cancel };
}

const LATER = { headers: { 'Retry-After': '10' } };
// --8<-- [end:work]

// --8<-- [start:router]
/** POST answers 202 with the place of a job; that says how it goes.
 * @param {{ jobs: ReturnType<typeof createJobs>, ownerOf: Function,
 *   inputOf: Function }} deps */
export function jobsRouter({ jobs, ownerOf, inputOf }) {
  const router = Router();
  const mine = async (req) => {
    const job = jobs.find(await ownerOf(req), req.params.id);
    if (!job) throw new Problem(404, 'You have no such job.');
    return job;
  };
  const say = (req, res, { id, state }) => {
    const here = `${req.baseUrl}/${id}`;
    if (['queued', 'running'].includes(state)) res.set('Retry-After', '2');
    const result = state === 'done' ? `${here}/result` : undefined;
    res.set('Cache-Control', 'no-store').json({ id, state, result });
  };

  router
    .route('/')
    .post(async (req, res) => {
      const key = req.get('Idempotency-Key');
      if (!/^[\w-]{1,100}$/.test(key ?? ''))
        throw new Problem(
          400,
          'Idempotency-Key: 1 to 100 letters or digits.',
        );
      const owner = await ownerOf(req);
      const job = jobs.add(owner, key, await inputOf(req));
      res.status(202).location(`${req.baseUrl}/${job.id}`);
      say(req, res, job);
    })
    .all(methods('POST'));
  // --8<-- [end:router]

  // --8<-- [start:job]
  router
    .route('/:id')
    .get(async (req, res) => say(req, res, await mine(req)))
    .delete(async (req, res) => {
      jobs.cancel(await mine(req));
      res.sendStatus(204);
    })
    .all(methods('GET', 'HEAD', 'DELETE'));
  router.get('/:id/result', async (req, res) => {
    const { state, result } = await mine(req);
    if (state !== 'done') throw new Problem(409, `It is ${state}.`);
    res.set('Cache-Control', 'private, no-store').json(result);
  });
  return router;
}
// --8<-- [end:job]
