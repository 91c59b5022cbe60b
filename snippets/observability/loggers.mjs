// --8<-- [start:pino]
import { pino } from 'pino';

/** `context()` gives what every line shares, such as a request's trace.
 * `destination`: without it standard output, and `sync`, which is not Pino's
 * default: a line is written when the call returns. `redact`: paths. */
export function createPino(options = {}) {
  const { level = 'info', context = () => ({}), redact = [] } = options;
  const { destination = pino.destination({ sync: true }) } = options;
  const settings = {
    level,
    base: { service: 'orders' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) }, // words, not 30
    mixin: () => context(),
    redact: { paths: redact, censor: '[redacted]' },
    serializers: { error: errorInLogs, order: orderInLogs },
  };
  return pino(settings, destination);
}
// --8<-- [end:pino]

// --8<-- [start:winston]
import winston from 'winston';

/** The same lines from Winston. It takes the message first; what the rest of
 * this guide calls is `info(fields, message)`. It has no redaction and no
 * serialisers, so both are a format of ours; `redact` has names here. */
export function createWinston(options = {}) {
  const { level = 'info', context = () => ({}), redact = [] } = options;
  const { transports = [new winston.transports.Console()] } = options;
  const { combine, timestamp, json } = winston.format;
  const chosen = winston.format((line) => {
    for (const field of redact) if (field in line) line[field] = '[redacted]';
    if ('error' in line) line.error = errorInLogs(line.error);
    if ('order' in line) line.order = orderInLogs(line.order);
    return Object.assign(line, context());
  });
  const logger = winston.createLogger({
    level,
    defaultMeta: { service: 'orders' },
    format: combine(timestamp(), chosen(), json()),
    transports,
  });
  const write = (name) => (fields, message) =>
    logger.log({ ...fields, level: name, message });
  return { info: write('info'), error: write('error'), logger };
}
// --8<-- [end:winston]

// --8<-- [start:serializers]
/** A serialiser says which fields leave the house. */
export function orderInLogs(order) {
  const { id, status, total, version } = order ?? {};
  return { id, status, total, version };
}

/** Without the message: those of JSON.parse, of databases and of URL quote
 * what they were given. Name, code and frames say where to look. */
export function errorInLogs(error) {
  const { name = typeof error, code, status, stack } = error ?? {};
  const lines = String(stack).split('\n');
  const said = lines.findLastIndex((line) => !line.startsWith('    at '));
  const frames = [`${name}: …`, ...lines.slice(said + 1)];
  return { type: name, code, status, stack: frames.join('\n') };
}
// --8<-- [end:serializers]
