// --8<-- [start:pino]
import { pino } from 'pino';
import { stdout } from './stdout.mjs';

/** `context()` gives what every line shares, such as a request's trace.
 * `destination`: without it standard output, where a line is written when the
 * call returns; one of Pino's wants an `error` listener. `redact`: paths. */
export function createPino(options = {}) {
  const { level = 'info', context = () => ({}), redact = [] } = options;
  const settings = {
    level,
    base: { service: 'orders' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: {
      level: (label) => ({ level: label }), // words, not 30
      log: errorsInLogs,
    },
    mixin: () => context(),
    redact: { paths: redact, censor: '[redacted]' },
    serializers, // of children's fields, too
    errorKey: '', // or an error's message is the line's, where none is given
    hooks: { logMethod: nameErrors },
  };
  return pino(settings, options.destination ?? stdout);
}

function nameErrors([first, ...rest], log) {
  const fields = first instanceof Error ? { error: first } : first;
  log.call(this, fields, ...rest);
}
// --8<-- [end:pino]

// --8<-- [start:winston]
import winston from 'winston';

const { Stream } = winston.transports;

/** The same lines from Winston. It takes the message first; what the rest of
 * this guide calls is `info(fields, message)`. It has no redaction and no
 * serialisers, so both are a format of ours; `redact` has names here. */
export function createWinston(options = {}) {
  const { level = 'info', context = () => ({}), redact = [] } = options;
  checkWinston(level, redact); // both would be taken, and do nothing
  const { transports = [new Stream({ stream: stdout })] } = options;
  const { waiting = 10_000 } = options; // lines, for a transport
  const { combine, timestamp, json } = winston.format;
  const chosen = winston.format((line) => {
    for (const field of redact) if (field in line) line[field] = '[redacted]';
    for (const [field, told] of Object.entries(serializers)) {
      if (field in line) line[field] = told(line[field]);
    }
    return Object.assign(line, errorsInLogs(line), context());
  });
  const logger = winston.createLogger({
    level,
    defaultMeta: { service: 'orders' },
    format: combine(timestamp(), chosen(), json()),
    transports,
  });
  const lose = () => (stdout.lost += 1);
  logger.on('error', lose); // of a transport; nobody else may listen
  const write = (name) => (first, message) => {
    if (logger.writableLength > waiting) return lose(); // its disk is full
    const fields = first instanceof Error ? { error: first } : first;
    return logger.log({ ...fields, level: name, message });
  };
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
 * what they were given. Name, code and frames say where to look, and so do
 * those of its causes, three deep, and of the first five of many errors. */
export function errorInLogs(error, depth = 3) {
  const { name, code, status, cause, errors } = error ?? {};
  const told = { type: word(name) ?? typeof error };
  Object.assign(told, { code: word(code), status: word(status) });
  told.stack = [`${told.type}: …`, ...framesOf(error ?? {})].join('\n');
  if (depth > 0 && cause) told.cause = errorInLogs(cause, depth - 1);
  if (depth > 0 && Array.isArray(errors)) {
    told.errors = errors
      .slice(0, 5)
      .map((one) => errorInLogs(one, depth - 1));
  }
  return told;
}

/** Pino's and Winston's errors, whatever name they come under. */
const serializers = {
  err: (error) => errorInLogs(error),
  error: (error) => errorInLogs(error),
  order: orderInLogs,
};
function errorsInLogs(fields) {
  const told = Object.entries(fields)
    .filter(([name]) => !Object.hasOwn(serializers, name))
    .filter(([, field]) => field instanceof Error)
    .map(([name, error]) => [name, errorInLogs(error)]);
  return { ...fields, ...Object.fromEntries(told) };
}
// --8<-- [end:serializers]

// --8<-- [start:frames]
function checkWinston(level, redact) {
  if (!Object.hasOwn(winston.config.npm.levels, level)) {
    throw new TypeError(`level: there is no '${level}'`);
  }
  if (!Array.isArray(redact)) throw new TypeError('redact: a list of names');
}

/** A name or a code; what has blanks and quotes is a message again. */
function word(value) {
  const said = typeof value === 'string' || typeof value === 'number';
  return said && /^[\w./:-]{1,64}$/.test(value) ? value : undefined;
}

/** A message may have lines that look like frames, so it is cut off first. */
function framesOf({ message = '', stack }) {
  const text = String(stack);
  const at = text.indexOf(message);
  const lines = text.slice(at < 0 ? 0 : at + message.length).split('\n');
  const said = lines.findLastIndex((line) => !line.startsWith('    at '));
  return lines.slice(said + 1);
}
// --8<-- [end:frames]
