// --8<-- [start:outbound]
export function createCall({ fetch = globalThis.fetch, tries = 3 } = {}) {
  return async function call(url, options) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await fetch(url, options);
        if (answer.ok) return answer;
        throw new Error(`${url} answered ${answer.status}`);
      } catch (error) {
        if (attempt === tries) throw error;
      }
    }
  };
}
// --8<-- [end:outbound]
