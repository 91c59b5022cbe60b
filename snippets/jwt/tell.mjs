// --8<-- [start:tell]
/** Tells a listener that we were given. It may be slow, throw or reject:
 * nobody waits for it, no answer changes, and the process lives. */
export async function tell(listener, ...news) {
  try {
    await listener(...news);
  } catch (error) {
    console.error('a listener failed', error);
  }
}
// --8<-- [end:tell]
