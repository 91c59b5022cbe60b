// A thousand names, stored as escape() makes them, or as they came; then shown
// by a page that encodes, as template engines do, and searched for.
// With the argument `series`: each name and what was stored.
import { body } from 'express-validator';
import { html } from './html.mjs';

const first = [
  ...['Ann', 'Zoë', 'José', 'Björk', 'Ngũgĩ', '小明', 'محمد', 'דוד'],
  ...["D'Arcy", 'Jean-Luc', "Ta'Rhonda", 'Алексей', 'Γιώργος', 'X Æ A-12'],
  ...['Mary "Mo"', 'Ann & Bob', 'Li', 'María', 'Şükrü', 'Renée'],
];
const last = [
  ...["O'Brien", 'Smith', 'Müller', 'García', "D'Angelo", 'Nguyễn', '王'],
  ...["O'Neal", 'de la Cruz', 'van der Berg', 'Kowalska', 'Yılmaz', 'Þórr'],
  ...["N'Diaye", 'Ivanova', 'Kaya', 'Sato', '김', 'Cohen', "L'Amour"],
  ...['Haddad', 'Rossi', 'Silva', 'Jensen', 'Novák', 'Papadopoulos'],
  ...['Singh', 'Kumar', 'Tanaka', 'Wang', 'Okafor', 'Mensah', 'Diallo'],
  ...['Marks & Sons', 'Hernández', 'Lindström', "t'Hooft", 'Ó Briain'],
  ...['Fernández', 'Olsen', 'Bianchi', 'Weber', 'Dubois', 'Popescu'],
  ...['Horvat', 'Virtanen', 'Nagy', 'Jansen', 'Andersson', 'O’Hara'],
];
const names = first.flatMap((one) => last.map((two) => `${one} ${two}`));

// --8<-- [start:lost]
async function escaped(name) {
  const req = { body: { name } };
  await body('name').escape().run(req);
  return req.body.name;
}
const asItCame = async (name) => name;

async function roundTrip(title, store) {
  const stored = await Promise.all(names.map(store));
  const decode = (text) =>
    text.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(code));
  const shown = stored.map((name) => decode(html`${name}`.toString()));
  const lost = (found) => names.filter((name, i) => name !== found[i]).length;
  console.log(
    `${title}: of ${names.length} names ${lost(stored)} are stored,`,
    `${lost(shown)} are shown otherwise`,
  );
  return stored;
}

await roundTrip('escape on input', escaped);
await roundTrip('encode on output', asItCame);
// --8<-- [end:lost]
