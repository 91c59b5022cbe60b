// output: varies — it depends on the machine and on what it allows this process
// --8<-- [start:cores]
import { availableParallelism, cpus } from 'node:os';

console.log(`os.cpus().length: ${cpus().length}`);
console.log(`os.availableParallelism(): ${availableParallelism()}`);
// --8<-- [end:cores]
