// --8<-- [start:quietly]
/** Does what no answer may depend on, such as a mail or a line of a log. It
 * may be async and it may fail; who answers does not wait for it. */
export async function quietly(act, ...args) {
  try {
    await act(...args);
  } catch (error) {
    console.error(error); // not hidden, and not the end of the process
  }
}
// --8<-- [end:quietly]
