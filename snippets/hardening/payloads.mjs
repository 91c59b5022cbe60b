// --8<-- [start:inline]
const RUN = "console.log('ran')";
const ran = encodeURIComponent(RUN);

/** What is stored as a note; each says `ran` if it runs. */
export const INLINE = {
  script: `<script>${RUN}</script>`,
  module: `<script type="module">${RUN}</script>`,
  'svg script': `<svg><script>${RUN}</script></svg>`,
  noscript: `<noscript><p title="</noscript><img src=x onerror=${RUN}>">`,
  'img onerror': `<img src=x onerror="${RUN}">`,
  'svg onload': `<svg onload="${RUN}">`,
  'body onload': `<body onload="${RUN}">`,
  'details ontoggle': `<details open ontoggle="${RUN}">`,
  'input onfocus': `<input autofocus onfocus="${RUN}">`,
  'video onerror': `<video><source onerror="${RUN}"></video>`,
  'audio onerror': `<audio src=x onerror="${RUN}">`,
  'animate onbegin': `<svg><animate onbegin="${RUN}" attributeName=x>`,
  'style onload': `<style onload="${RUN}"></style>`,
  'link onload': `<link rel=stylesheet href=data:text/css, onload="${RUN}">`,
  'a javascript:': `<a id=go href="javascript:${RUN}">go</a>`,
  'form javascript:': `<form action="javascript:${RUN}"><button id=go>`,
  'button formaction': `<form><button id=go formaction="javascript:${RUN}">`,
  'iframe javascript:': `<iframe src="javascript:${RUN}"></iframe>`,
  'iframe srcdoc': `<iframe srcdoc="<script>${RUN}</script>"></iframe>`,
  'iframe data:': `<iframe src="data:text/html,<script>${ran}</script>">`,
  'script data:': `<script src="data:text/javascript,${ran}"></script>`,
};
// --8<-- [end:inline]

// --8<-- [start:others]
/** Scripts of another host, and the way our own script is led to it. */
export const ELSEWHERE = (evil) => ({
  'script of another host': `<script src="${evil}/ran.js"></script>`,
  base: `<base href="${evil}/">`,
  'dangling nonce': `<script src="${evil}/ran.js" x="`,
});

/** Nothing inline, nothing of another host: our own site does it. */
export const OURS = {
  'uploaded .js': '<script src="/uploads/ran.js"></script>',
  'uploaded page': '<iframe src="/uploads/ran.html"></iframe>',
  JSONP: '<script src="/orders.jsonp?callback=console.log"></script>',
  'srcdoc, uploaded .js':
    '<iframe srcdoc="<script src=/uploads/ran.js></script>"></iframe>',
  'widget, uploaded .js': '<div data-widget="/uploads/ran.js"></div>',
  'clobbered variable': '<a id="config" href="/uploads/ran.js"></a>',
};
// --8<-- [end:others]
