// --8<-- [start:retry]
/** Repeats whatever failed, at once and always as often, also a POST. */
export function createRetry({ tries = 3 } = {}) {
  return async function retry(task) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await task({ attempt });
      } catch (error) {
        if (attempt >= tries) throw error;
      }
    }
  };
}
// --8<-- [end:retry]
