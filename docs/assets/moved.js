// At an old address: on to the page that has what the anchor named, or to the answer.
const links = [...document.querySelectorAll('[data-anchors]')];
const wanted = decodeURIComponent(location.hash.slice(1));
let target = links[0].href;
for (const link of links)
  for (const each of link.dataset.anchors.split(' ')) {
    const [old, now = old] = each.split('=');
    if (wanted && old === wanted) target = link.href + (now && `#${now}`);
  }
location.replace(target);
