// --8<-- [start:forgotten]
import express from 'express';

/** A page that forgot to encode a note; `headers` is what may still save it.
 * Around it what many sites have: uploads, JSONP, a script of widgets. */
export function createApp({ note, headers = [], uploads }) {
  const app = express();
  app.use(...headers, (req, res, next) => next());
  app.use('/uploads', express.static(uploads));
  app.get('/orders.jsonp', (req, res) => res.jsonp({ note: 'ran' }));
  app.get('/widgets.js', (req, res) => res.type('js').send(WIDGETS));
  app.get('/', (req, res) => {
    const nonce = res.locals.nonce ?? '';
    res.send(`<!doctype html><html lang="en"><title>Order</title>
<body><input name="code" value="s3cret"><p>${note}</p>
<script nonce="${nonce}" src="widgets.js"></script></body></html>`);
  });
  return app;
}

// one of our own: it loads what the markup names
const WIDGETS = `
const named = document.querySelector('[data-widget]')?.dataset.widget;
const address = named ?? window.config?.href;
if (address) {
  const script = document.createElement('script');
  script.src = address;
  document.body.append(script);
}`;
// --8<-- [end:forgotten]
