// --8<-- [start:memory]
import { MemoryStore } from 'express-rate-limit';
import { numbers } from '../validation/numbers.mjs';

const REST = 'the rest';

/** Counters in this process, for `keys` clients; 230 bytes or so for each.
 * Whoever comes when it is full shares one counter with all who do, so that
 * a flood of addresses takes neither the memory nor anybody's counter. */
export class BoundedStore extends MemoryStore {
  #keys;

  constructor({ keys = 50_000 } = {}) {
    numbers({ keys });
    super();
    this.#keys = keys;
  }

  increment(key) {
    return super.increment(this.#counted(key));
  }

  decrement(key) {
    return super.decrement(this.#counted(key));
  }

  #counted(key) {
    const known = this.current.has(key) || this.previous.has(key);
    const full = this.current.size + this.previous.size >= this.#keys;
    return known || !full ? key : REST;
  }
}
// --8<-- [end:memory]
