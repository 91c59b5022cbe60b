// --8<-- [start:flush]
/** The handler that most services have. */
export function endOn(signal, { logger, server }) {
  process.once(signal, () => {
    server.close();
    logger.info('stopped');
    process.exit(0);
  });
}
// --8<-- [end:flush]
