// --8<-- [start:client]
/** A fetch for a page: on a 401 it refreshes once, and asks again. However
 * many requests fail at once, there is one refresh: in this tab by a promise,
 * in all tabs by `lock(task)`, in a browser
 * `(task) => navigator.locks.request('refresh', task)`.
 * @param {{ refresh: () => Promise<boolean>, lock?: Function,
 *   fetch?: typeof globalThis.fetch }} deps */
export function createClient({ refresh, ...deps }) {
  const { lock = (task) => task(), fetch = globalThis.fetch } = deps;
  let refreshing;
  let generation = 0; // how many refreshes there were, here

  const once = (seen) => {
    if (seen !== generation) return true; // somebody did while we asked
    refreshing ??= Promise.try(lock, refresh)
      .then((done) => {
        generation += 1;
        return done;
      })
      .finally(() => (refreshing = undefined));
    return refreshing;
  };

  return async function ask(url, init) {
    const seen = generation;
    const request = new Request(url, init);
    const answer = await fetch(request.clone());
    // 403 is another matter: a new token would not help
    if (answer.status !== 401) return answer;
    if (!(await once(seen))) return answer; // to the login
    await answer.body?.cancel();
    return fetch(request);
  };
}
// --8<-- [end:client]
