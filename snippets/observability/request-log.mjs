// --8<-- [start:request-log]
import { STATUS_CODES } from 'node:http';
import { pinoHttp } from 'pino-http';
import { routeOf, statusOf } from './route.mjs';

/** One line a request, made of what comes from short lists. The URL, headers
 * and bodies are the client's words, and not here. */
export function requestLog({ logger, mounts }) {
  const line = (req, res, { responseTime }) => ({
    method: req.method,
    route: routeOf(req, mounts),
    status: statusOf(res),
    ms: responseTime,
  });
  return pinoHttp({
    logger,
    wrapSerializers: false,
    serializers: { req: () => undefined }, // its own: URL and all headers
    customSuccessObject: line,
    customErrorObject: (req, res, error, said) => line(req, res, said),
    customSuccessMessage: () => 'request',
    customErrorMessage: () => 'request',
    customLogLevel: (req, res) => (res.statusCode < 500 ? 'info' : 'error'),
  });
}
// --8<-- [end:request-log]

// --8<-- [start:problems]
/** The last middleware: the client learns a status, the log where to look. */
export function problems({ logger }) {
  const answer = (res, status) =>
    res
      .status(status)
      .type('application/problem+json')
      .json({ title: STATUS_CODES[status], status });

  const unmatched = (req, res) => answer(res, 404);
  const failed = (error, req, res, next) => {
    // of the body's parser, or a path such as /orders/%zz
    const client = error.expose || error instanceof URIError;
    const theirs = client && error.status >= 400 && error.status < 500;
    if (!theirs) logger.error({ error }, 'request failed');
    // begun, so it is cut; Express would do it too, and print the message
    if (res.headersSent) return res.destroy();
    return answer(res, theirs ? error.status : 500);
  };
  return [unmatched, failed];
}
// --8<-- [end:problems]
