// A process that runs one statement again and again, as fast as it can, until it is killed or its input ends.
//
//   node call_forever.mjs <connection string> <statement>
import pg from 'pg';

const [url, text] = process.argv.slice(2);
const client = new pg.Client({ connectionString: url });
let stopping = false;
process.stdin.on('end', () => {
  stopping = true;
});
process.stdin.resume();
await client.connect();
console.log('ready');
while (!stopping) await client.query(text);
await client.end();
process.exit(0);
