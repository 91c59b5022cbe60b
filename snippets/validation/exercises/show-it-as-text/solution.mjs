import express from 'express';

const CODES = { '&': 38, '<': 60, '>': 62, '"': 34, "'": 39 };
const encode = (text) => text.replace(/[&<>"']/g, (c) => `&#${CODES[c]};`);

// asked of the parser that browsers use: a list of bad spellings never ends
const leadsOut = (text) =>
  ['https:', 'http:'].includes(URL.parse(text)?.protocol);

const page = (entries) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Guest book</title></head>
<body>${entries.map(article).join('')}</body></html>`;

const article = ({ name, text, home }) => `<article title="${encode(name)}">
<h2>${encode(name)}</h2><p>${encode(text)}</p>${leadsOut(home) ? anchor(home) : ''}
</article>`;

const anchor = (home) => `<a href="${encode(home)}">home page</a>`;

const MOST = 1000; // entries in memory: the oldest go

export function createApp() {
  const entries = [];
  const app = express();
  app.use((req, res, next) => {
    // what runs if a later page forgets to encode: nothing
    res.set('Content-Security-Policy', "default-src 'none'; base-uri 'none'");
    next();
  });
  app.post('/entries', express.json(), (req, res) => {
    const { name, text, home = '' } = req.body ?? {};
    const texts = [name, text, home].every(
      (value) => typeof value === 'string',
    );
    if (!texts) return res.sendStatus(400);
    entries.push({ name, text, home });
    if (entries.length > MOST) entries.shift();
    return res.sendStatus(201);
  });
  app.get('/', (req, res) => res.send(page(entries)));
  app.get('/entries.json', (req, res) => res.json(entries));
  return app;
}
