// --8<-- [start:transfer]
import { transaction } from './transaction.mjs';

const ADD = 'UPDATE accounts SET cents = cents + $2 WHERE id = $1';

/** First who pays, then who gets: the order of the arguments. */
export function createTransfer({ db }) {
  return ({ from, to, cents }, { between = () => {} } = {}) =>
    transaction(
      db,
      async ({ query }) => {
        await query(ADD, [from, -cents]);
        await between(); // where another transfer may come in
        await query(ADD, [to, cents]);
      },
      { tries: 1 },
    );
}
// --8<-- [end:transfer]
