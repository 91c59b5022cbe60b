// --8<-- [start:metrics]
import { Histogram, Registry } from 'prom-client';

export function createMetrics() {
  const register = new Registry();
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Duration of a request.',
    labelNames: ['method', 'path', 'status', 'customer'],
    registers: [register],
  });
  function measure(req, res, next) {
    const end = duration.startTimer();
    res.once('finish', () => {
      const { method, path } = req; // whatever the client wrote
      const customer = req.get('X-Customer') ?? 'nobody';
      end({ method, path, status: res.statusCode, customer });
    });
    next();
  }
  return { register, measure };
}
// --8<-- [end:metrics]
