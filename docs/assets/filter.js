// The filter of a long list (the ledger, the bank of questions): what is chosen stands in
// the address, so that a view can be linked to. Without it the page is complete, just
// longer. The list says by `data-filter` which fields its rows have; `topic` is that of
// the group around them. What can be typed is looked for in a row's text and, with
// `data-also`, in the words of also.json, which is fetched once somebody types.
const list = document.querySelector('[data-filter]');
const fields = list.dataset.filter.split(' ');
const groups = [...list.querySelectorAll('[data-group]')].map((group) => ({
  group,
  title: group.querySelector('th, h2').childNodes[0].textContent.trim(),
  rows: [...group.querySelectorAll('[data-row]')],
}));
const rows = groups.flatMap((each) => each.rows);
const asked = new URLSearchParams(location.search);
const titled = (name) => name[0].toUpperCase() + name.slice(1);

const labelled = (title, control) => {
  const label = document.createElement('label');
  label.append(title, ' ', control);
  return label;
};

const choice = (name) => {
  const select = document.createElement('select');
  select.name = name;
  select.add(new Option('all', ''));
  if (name === 'topic')
    for (const { group, title } of groups)
      select.add(new Option(title, group.dataset.group));
  else
    for (const value of new Set(rows.map((row) => row.dataset[name]))) {
      const count = rows.filter((row) => row.dataset[name] === value).length;
      select.add(new Option(`${value} (${count})`, value));
    }
  select.value = asked.get(name) ?? '';
  if (select.selectedIndex < 0) select.value = '';
  return labelled(titled(name), select);
};

const words = document.createElement('input');
words.type = 'search';
words.name = 'words';
words.value = asked.get('words') ?? '';
const form = document.createElement('form');
form.className = 'pn-filter';
form.setAttribute('aria-label', 'Filter the list');
const count = document.createElement('output');
form.append(...fields.map(choice), labelled('Words', words), count);

// of a row what is looked for in, once somebody looks
let haystacks = new WeakMap();
let also = {}; // by topic and anchor
const haystack = (row) => {
  if (!haystacks.has(row)) {
    const { hash } = row.querySelector('a') ?? {};
    const key = `${row.closest('[data-group]').dataset.group}${hash ?? ''}`;
    const text = `${row.textContent} ${also[key] ?? ''}`;
    haystacks.set(row, text.toLowerCase());
  }
  return haystacks.get(row);
};
const fetchAlso = async () => {
  const answer = await fetch(new URL('also.json', import.meta.url));
  also = await answer.json();
  haystacks = new WeakMap();
  if (words.value) filter();
};
if ('also' in list.dataset) {
  // without them the titles are looked through: no reason for an error
  const once = () => fetchAlso().catch(() => {});
  words.addEventListener('focus', once, { once: true });
  if (words.value) once();
}

function filter() {
  const { words: typed, ...wanted } = Object.fromEntries(new FormData(form));
  const needles = typed.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { group, rows: own } of groups) {
    let here = 0;
    for (const row of own) {
      const values = { ...row.dataset, topic: group.dataset.group };
      row.hidden =
        fields.some(
          (name) => wanted[name] && wanted[name] !== values[name],
        ) || !needles.every((needle) => haystack(row).includes(needle));
      here += !row.hidden;
    }
    group.hidden = here === 0;
    shown += here;
  }
  count.textContent = `${shown} of ${rows.length}`;
  const query = new URLSearchParams(
    Object.entries({ ...wanted, words: typed }).filter(([, value]) => value),
  );
  const search = query.size ? `?${query}` : location.pathname;
  history.replaceState(null, '', search + location.hash);
}

form.addEventListener('input', filter);
form.addEventListener('submit', (event) => event.preventDefault());
list.querySelector('.pn-filter-place').append(form);
// a link to a row wins over a filter that would hide it
if (location.hash) {
  const target = document.getElementById(location.hash.slice(1));
  if (target && list.contains(target)) {
    form.reset();
    words.value = '';
    for (const select of form.querySelectorAll('select')) select.value = '';
  }
}
// a long table is laid out once, unless something is chosen
if (fields.some((name) => form.elements[name].value) || words.value) filter();
else count.textContent = `${rows.length} of ${rows.length}`;
