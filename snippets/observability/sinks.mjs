// --8<-- [start:loggers]
import { once } from 'node:events';
import { pino } from 'pino';
import winston from 'winston';

/** Each takes a file, or 1 for standard output; writes level, time, fields,
 * message; and says when it is ready: file open, worker started. */
export const loggers = {
  'pino sync': (dest) => ofPino(pino.destination({ dest, sync: true })),
  'pino as it comes': (dest) => ofPino(pino.destination(dest)),
  'pino async': (dest) =>
    ofPino(pino.destination({ dest, sync: false, minLength: 4096 })),
  'pino transport': (destination) =>
    ofPino(pino.transport({ target: 'pino/file', options: { destination } })),
  'winston file': (filename) =>
    ofWinston(new winston.transports.File({ filename }), 'open'),
  'winston console': () => ofWinston(new winston.transports.Console()),
  'console.log': () => ({
    info(fields, msg) {
      const line = { level: 'info', time: Date.now(), ...fields, msg };
      console.log(JSON.stringify(line));
    },
  }),
};

function ofPino(stream) {
  const formatters = { level: (level) => ({ level }) };
  const logger = pino({ base: null, formatters }, stream);
  const info = (fields, message) => logger.info(fields, message);
  return { info, logger, ready: once(stream, 'ready'), stream };
}

function ofWinston(transport, event) {
  const timed = (line) => Object.assign(line, { time: Date.now() });
  const { combine, json } = winston.format;
  const format = combine(winston.format(timed)(), json());
  const logger = winston.createLogger({ format, transports: [transport] });
  const info = (fields, message) => logger.info(message, fields);
  return { info, logger, ready: event && once(transport, event) };
}
// --8<-- [end:loggers]
