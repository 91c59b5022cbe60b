// --8<-- [start:answer]
/** The answer of a name server that knows one address for every name: turns
 * the bytes of a DNS query into those of its answer, 192.0.2.7 (RFC 1035). */
export function answer(query) {
  const question = query.subarray(12, query.indexOf(0, 12) + 5);
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180, 2); // an answer, without error
  header.writeUInt16BE(1, 6); // one record
  header.fill(0, 8);
  // the name of byte 12, type A, class IN, no caching, four bytes of address
  const record = Buffer.from('c00c00010001000000000004c0000207', 'hex');
  return Buffer.concat([header, question, record]);
}
// --8<-- [end:answer]
