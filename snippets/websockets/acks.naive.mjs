// --8<-- [start:acks]
/** Sends a text, and sends it again when no answer came in time. */
export function createSender({ send, patienceMs = 5000 }) {
  const waiting = [];
  function say(text) {
    send(JSON.stringify({ text }));
    const again = setTimeout(() => say(text), patienceMs);
    waiting.push(again);
  }
  return { say, answered: () => clearTimeout(waiting.shift()) };
}

/** Stores what comes, and answers. */
export const createInbox = ({ save }) =>
  async function onMessage(socket, data) {
    const { text } = JSON.parse(data);
    await save({ text });
    socket.send('{"type":"ack"}');
  };
// --8<-- [end:acks]
