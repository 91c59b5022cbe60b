// --8<-- [start:simulate]
/** Estimates pi by `runs` random points: a stand-in for any computation that
 * cannot be handed to a library with an asynchronous API. */
export function simulate({ runs }) {
  let inside = 0;
  for (let i = 0; i < runs; i += 1) {
    inside += Math.hypot(Math.random(), Math.random()) < 1;
  }
  return { runs, pi: (4 * inside) / runs };
}
// --8<-- [end:simulate]

export default simulate;
