// What the theme does otherwise than this site wants it.

// 1. It fetches the search index with every page, though few readers search, and the
// index grows with every chapter. So its request waits until the search is opened.
const opened = new Promise((resolve) => {
  if (new URLSearchParams(location.search).has('q')) resolve();
  const open = (event) => {
    if (event.target.matches?.('[data-md-component="search-query"]'))
      resolve();
  };
  addEventListener('focusin', open);
});

const { open, send } = XMLHttpRequest.prototype;
const waiting = new WeakSet();

XMLHttpRequest.prototype.open = function (method, url, ...rest) {
  if (/\/search\/search_index\.json$/.test(url)) waiting.add(this);
  return open.call(this, method, url, ...rest);
};

XMLHttpRequest.prototype.send = function (body) {
  if (!waiting.delete(this)) return send.call(this, body);
  opened.then(() => send.call(this, body));
};

// 2. A table that is wider than the screen scrolls, but not from the keyboard.
const tables = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute('tabindex');
  }
});

// 3. It puts the copy button of each code block into a <nav>: dozens of landmarks
// without a name, which a screen reader would list.
new MutationObserver((changes) => {
  for (const { addedNodes } of changes)
    for (const node of addedNodes)
      if (node.className === 'md-code__nav')
        node.setAttribute('role', 'none');
      else if (node.className === 'md-typeset__scrollwrap')
        tables.observe(node);
}).observe(document.documentElement, { childList: true, subtree: true });

// 4. Its scheme switch is a radio button that is always on, so Space does nothing.
addEventListener('keydown', (event) => {
  if (event.key !== ' ' || !event.target.matches?.('.md-option')) return;
  event.preventDefault();
  event.target.nextElementSibling?.click();
});

// 5. It opens every fold for the printer. What is closed stays closed on paper, unless a
// reader asks for all of it; this listener comes before the theme's.
const markClosed = () => {
  if (document.documentElement.dataset.print) return;
  document.documentElement.dataset.print = 'begun';
  for (const fold of document.querySelectorAll('details'))
    fold.toggleAttribute('data-closed', !fold.open && !everything);
};
let everything = false;
addEventListener('beforeprint', markClosed);
matchMedia('print').addEventListener('change', ({ matches }) => {
  if (matches) markClosed();
});
addEventListener('afterprint', () => {
  delete document.documentElement.dataset.print;
  everything = false;
});
addEventListener('click', (event) => {
  if (!event.target.matches?.('.pn-print')) return;
  everything = true;
  print();
});
