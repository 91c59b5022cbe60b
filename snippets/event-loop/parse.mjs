// output: varies — it prints how long things took
// --8<-- [start:parse]
// node event-loop/parse.mjs MB...: CPU time of JSON.parse by size of the text
const order = { id: 'o-1041', items: [{ sku: 'tea', count: 2, cents: 799 }] };
const one = JSON.stringify(order);

for (const megabytes of process.argv.slice(2).map(Number)) {
  const text = `[${`${one},`.repeat((megabytes * 1e6) / one.length)}${one}]`;
  JSON.parse(text); // once to warm up
  const times = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    JSON.parse(text);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  console.log(`${megabytes} ${times.sort((a, b) => a - b)[2]}`);
}
// --8<-- [end:parse]
