import { randomUUID } from 'node:crypto';
import { limitsOf } from './limits.mjs';

// --8<-- [start:sender]
/** The client's half. What was said is kept until the server has stored it,
 * and sent again, in its order, over each new connection.
 * @param {{ most?: number }} limits */
export function createSender(limits = {}) {
  const { most } = limitsOf({ most: 1000 }, limits);
  const pending = new Map(); // of each id the message, in their order
  let socket;
  const send = (message) => {
    if (socket?.readyState === socket?.OPEN)
      socket?.send(JSON.stringify(message));
  };

  /** The id of the message; throws if too many wait already. */
  function say(text) {
    if (pending.size >= most) throw new RangeError('too many wait');
    const message = { id: randomUUID(), text }; // the client's own id
    pending.set(message.id, message);
    send(message);
    return message.id;
  }

  /** With each new connection, once it is open. */
  function resume(opened) {
    socket = opened;
    for (const message of pending.values()) send(message);
  }

  /** For each message from the server. */
  function onMessage({ type, id }) {
    if (type === 'ack') pending.delete(id);
  }
  return { say, resume, onMessage, waiting: () => pending.size };
}
// --8<-- [end:sender]

// --8<-- [start:inbox]
const ID = /^[\w-]{8,64}$/;

/** The server's half, as `onMessage` of a socket. `save({ user, id, text })`
 * stores under a unique constraint on (user, id), and gives the number of the
 * message in its room, also of one that it had already.
 * @param {{ save: Function, longest?: number }} deps */
export function createInbox({ save, longest = 4000 }) {
  return async function onMessage(socket, data, isBinary, user) {
    const message = isBinary ? undefined : parse(data);
    const { id, text } = message ?? {};
    const right = ID.test(id) && typeof text === 'string';
    if (!right || text.length > longest) return socket.close(1007);
    const seq = await save({ user, id, text }); // durable, and only then:
    return socket.send(JSON.stringify({ type: 'ack', id, seq }));
  };
}

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
// --8<-- [end:inbox]
