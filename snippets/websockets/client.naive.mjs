/* eslint n/no-unsupported-features/node-builtins: ["error", { "ignores": ["WebSocket"] }] --
   stable since Node 22.4 */
// --8<-- [start:follow]
/** Follows a feed, and comes back when it is cut off. */
export function follow({ url, onEvent, signal, delayMs = 1000 }) {
  let socket;
  function open() {
    if (signal.aborted) return;
    socket = new WebSocket(url());
    socket.onmessage = ({ data }) => onEvent(JSON.parse(data));
    socket.onclose = () => setTimeout(open, delayMs);
  }
  signal.addEventListener('abort', () => socket.close());
  open();
}
// --8<-- [end:follow]
