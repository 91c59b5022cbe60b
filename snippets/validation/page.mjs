// --8<-- [start:page]
import { html } from './html.mjs';
import { isHttps } from './rules.mjs';

/** For the `Content-Security-Policy` header: what runs if we forget. */
export const CSP =
  "default-src 'none'; style-src 'self'; form-action 'self'; " +
  "base-uri 'none'; frame-ancestors 'none'";

export const page = (reviews) =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>Reviews</title>
      </head>
      <body>
        <h1>Reviews</h1>
        ${reviews.map(article)}
      </body>
    </html>`.toString();

// <bdi>: a name that runs from right to left does not turn its surroundings
const article = ({ handle, name, rating, text, link, tags }) =>
  html` <article id="${handle}" title="${name}">
    <h2><bdi>${name}</bdi></h2>
    <data value="${rating}">${rating}</data>
    <p><bdi>${text}</bdi></p>
    ${isHttps(link) ? anchor(link) : ''}
    <ul>
      ${tags.map((tag) => html`<li>${tag}</li>`)}
    </ul>
  </article>`;

// encoding does not make a URL harmless, so its scheme is looked at here too
const anchor = (link) =>
  html`<a href="${link}" rel="ugc nofollow noopener"><bdi>${link}</bdi></a>`;
// --8<-- [end:page]
