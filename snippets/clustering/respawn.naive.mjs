// node clustering/respawn.naive.mjs MODULE: workers that import MODULE, which
// is to be listening on a port, if it can start.
import cluster from 'node:cluster';

// may come twice: two workers ask for the end, and neither knows of the other
function end() {
  cluster.removeAllListeners('exit');
  cluster.disconnect();
}
if (cluster.isPrimary) process.on('SIGTERM', end);
const [module, count = 2] = process.argv.slice(2);

// --8<-- [start:respawn]
if (cluster.isPrimary) {
  for (let i = 0; i < count; i += 1) cluster.fork();
  cluster.on('exit', (worker) => {
    console.log(`worker ${worker.process.pid} died`);
    cluster.fork(); // at once, and for ever
  });
} else {
  await import(module);
}
// --8<-- [end:respawn]
