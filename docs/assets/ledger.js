// The ledger's filter: a topic, a verdict, both in the address so that a view can be
// linked to. Without it the page is complete, just longer.
const table = document.querySelector('.pn-ledger');
const chapters = [...table.tBodies].map((body) => ({
  body,
  rows: [...body.querySelectorAll('tr[data-verdict]')],
}));
const rows = chapters.flatMap((chapter) => chapter.rows);
const asked = new URLSearchParams(location.search);

const choice = (name, title, options) => {
  const label = document.createElement('label');
  const select = document.createElement('select');
  select.name = name;
  for (const [value, text] of options) select.add(new Option(text, value));
  select.value = asked.get(name) ?? '';
  if (select.selectedIndex < 0) select.value = '';
  label.append(title, ' ', select);
  return label;
};

const form = document.createElement('form');
form.className = 'pn-filter';
form.setAttribute('aria-label', 'Filter the claims');
const verdicts = ['right', 'wrong', 'depends'].map((verdict) => {
  const count = rows.filter((row) => row.dataset.verdict === verdict).length;
  return [verdict, `${verdict} (${count})`];
});
const count = document.createElement('output');
form.append(
  choice('topic', 'Chapter', [
    ['', 'all'],
    ...chapters.map(({ body }) => [
      body.dataset.topic,
      body.rows[0].textContent,
    ]),
  ]),
  choice('verdict', 'Verdict', [['', 'all'], ...verdicts]),
  count,
);

const filter = () => {
  const wanted = Object.fromEntries(new FormData(form));
  let shown = 0;
  for (const { body, rows: claims } of chapters) {
    let here = 0;
    for (const row of claims) {
      row.hidden =
        (wanted.topic && wanted.topic !== body.dataset.topic) ||
        (wanted.verdict && wanted.verdict !== row.dataset.verdict);
      here += !row.hidden;
    }
    body.hidden = here === 0;
    shown += here;
  }
  count.textContent = `${shown} of ${rows.length} claims`;
  const query = new URLSearchParams(
    Object.entries(wanted).filter(([, value]) => value),
  );
  const search = query.size ? `?${query}` : location.pathname;
  history.replaceState(null, '', search + location.hash);
};

form.addEventListener('change', filter);
form.addEventListener('submit', (event) => event.preventDefault());
table.before(form);
// a link to a row wins over a filter that would hide it
if (
  location.hash &&
  document.querySelector(location.hash)?.closest('.pn-ledger')
)
  form.reset();
filter();
