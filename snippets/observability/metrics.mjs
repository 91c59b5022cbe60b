// --8<-- [start:metrics]
import { performance } from 'node:perf_hooks';
import client from 'prom-client';
import { numbers } from '../validation/numbers.mjs';
import { routeOf, statusOf } from './route.mjs';
import { stdout } from './stdout.mjs';

const { Counter, Gauge, Histogram, Registry } = client;

// Close together around the objective, 0.3 s: no estimate beats its bucket.
const BUCKETS = [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 1, 2.5];

/** Rate, errors and duration by route; how full the process is. */
export function createMetrics(options = {}) {
  const { buckets = BUCKETS, capacity = 100, mounts = [''] } = options;
  const register = new Registry();
  const registers = [register];
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'From the request to the last byte of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets,
    registers,
  });
  const inFlight = addSaturation(registers, capacity);
  addLost(registers);
  client.collectDefaultMetrics({ register }); // loop lag, CPU, heap

  function measure(req, res, next) {
    const end = duration.startTimer();
    inFlight.inc();
    res.once('close', () => {
      inFlight.dec();
      // Off our routes the method is one more word of the client's.
      const method = req.route ? req.method : 'any';
      end({ method, route: routeOf(req, mounts), status: statusOf(res) });
    });
    next();
  }
  return { register, measure };
}
// --8<-- [end:metrics]

// --8<-- [start:saturation]
function addSaturation(registers, capacity) {
  numbers({ capacity });
  new Counter({
    name: 'nodejs_eventloop_active_seconds_total',
    help: 'Time in which the loop was not idle: its rate is at most 1.',
    registers,
    collect() {
      this.reset(); // then say it whole: the count is Node's
      this.inc(performance.eventLoopUtilization().active / 1000);
    },
  });
  new Gauge({
    name: 'http_requests_in_flight_capacity',
    help: 'How many requests the process is meant to work on at once.',
    registers,
  }).set(capacity);
  return new Gauge({
    name: 'http_requests_in_flight',
    help: 'Requests that are being worked on.',
    registers,
  });
}

/** What a log cannot say itself. */
function addLost(registers) {
  new Counter({
    name: 'log_lines_lost_total',
    help: 'Lines that standard output did not take.',
    registers,
    collect() {
      this.reset();
      this.inc(stdout.lost);
    },
  });
}
// --8<-- [end:saturation]
