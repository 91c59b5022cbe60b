// --8<-- [start:metrics]
import {
  collectDefaultMetrics,
  Gauge,
  Histogram,
  Registry,
} from 'prom-client';

// Close together around the objective, 0.3 s: an estimate is as good as its bucket.
const BUCKETS = [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 1, 2.5];

/** Rate, errors and duration of each route, and how full the process is. */
export function createMetrics({ buckets = BUCKETS, capacity = 100 } = {}) {
  const register = new Registry();
  const registers = [register];
  collectDefaultMetrics({ register }); // loop lag, CPU, heap
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'From the request to the last byte of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets,
    registers,
  });
  const inFlight = new Gauge({
    name: 'http_requests_in_flight',
    help: 'Requests that are being worked on.',
    registers,
  });
  new Gauge({
    name: 'http_requests_in_flight_capacity',
    help: 'How many of them the process is meant to work on at once.',
    registers,
  }).set(capacity);

  function measure(req, res, next) {
    const end = duration.startTimer();
    inFlight.inc();
    res.once('close', () => {
      inFlight.dec();
      end(labels(req, res));
    });
    next();
  }
  return { register, measure };
}
// --8<-- [end:metrics]

// --8<-- [start:labels]
/** Only values that we have written: the pattern that matched, not the path. */
function labels(req, res) {
  const status = res.writableFinished ? res.statusCode : 499; // hung up
  if (!req.route) return { method: 'any', route: 'none', status };
  const route = `${req.baseUrl}${req.route.path}`;
  return { method: req.method, route, status };
}
// --8<-- [end:labels]
