// --8<-- [start:view]
// html`` encodes each value, see the chapter on validation
import { html } from '../validation/html.mjs';

const whole = (nonce, body) =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <title>Orders</title>
        <style nonce="${nonce}">
          form {
            margin: 1rem 0;
          }
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html>`.toString();

export const login = ({ next, nonce }) =>
  whole(
    nonce,
    html`<form method="post" action="/login">
      <input name="email" /><input name="password" type="password" />
      <input name="next" type="hidden" value="${next}" />
      <button>Log in</button>
    </form>`,
  );

export const list = ({ q, orders, nonce }) =>
  whole(
    nonce,
    html`<form><input name="q" /></form>
      <h1>Orders with “${q}”</h1>
      ${orders.map(({ id }) => html`<a href="/orders/${id}">${id}</a>`)}`,
  );
// --8<-- [end:view]

// --8<-- [start:page]
export const page = ({ order: { id, note, status }, user, nonce }) =>
  whole(
    nonce,
    html`<h1>${id}: ${status}</h1>
      <p>${note}</p>
      <i>for ${user.id}</i>
      <form method="post" action="/orders/${id}/note">
        <input name="note" /><button>Save</button>
      </form>
      <form method="post" action="/orders/${id}/cancellation">
        <button id="cancel">Cancel</button>
      </form>`,
  );
// --8<-- [end:page]
