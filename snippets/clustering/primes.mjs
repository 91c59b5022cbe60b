// --8<-- [start:primes]
/** How many primes there are from `from` to below `to`: a stand-in for any
 * computation. */
export function countPrimes(from, to) {
  let count = 0;
  for (let n = Math.max(from, 2); n < to; n += 1) {
    let divisor = 2;
    while (divisor * divisor <= n && n % divisor) divisor += 1;
    count += divisor * divisor > n;
  }
  return count;
}
// --8<-- [end:primes]

// what a thread of the pool runs
export default ({ from, to }) => countPrimes(from, to);
