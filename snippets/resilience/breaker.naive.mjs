// --8<-- [start:breaker]
/** The breaker stands inside, the timeout around it: what hangs never comes
 * back to the breaker, so it has seen no failure. */
export function createBreaker({ timeoutMs = 1000, failures = 5 } = {}) {
  let failed = 0;

  async function breaker(task) {
    if (failed >= failures) throw new Error('open');
    try {
      const answer = await task();
      failed = 0;
      return answer;
    } catch (error) {
      failed += 1;
      throw error;
    }
  }

  function run(task) {
    const late = new Promise((_, reject) =>
      setTimeout(() => reject(new Error('late')), timeoutMs),
    );
    return Promise.race([breaker(task), late]);
  }
  return { run, state: () => (failed >= failures ? 'open' : 'closed') };
}
// --8<-- [end:breaker]
