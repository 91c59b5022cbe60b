// --8<-- [start:page]
export const page = (reviews) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Reviews</title></head>
<body><h1>Reviews</h1>${reviews.map(article).join('')}</body></html>`;

const article = ({ handle, name, rating, text, link, tags }) => `
<article id="${handle}" title="${name}">
<h2>${name}</h2><data value="${rating}">${rating}</data><p>${text}</p>
${link ? `<a href="${link}">${link}</a>` : ''}
<ul>${tags.map((tag) => `<li>${tag}</li>`).join('')}</ul>
</article>`;
// --8<-- [end:page]
