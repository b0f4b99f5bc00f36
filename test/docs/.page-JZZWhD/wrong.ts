import { PgMill } from '../../../client/index.js';

interface Jobs {
  'mail.send': { to: string; subject: string };
}

const mill = new PgMill<Jobs>({ connectionString: process.env.DATABASE_URL });

await mill.addJob('mail.send', { to: 'ada@example.com', subject: 'Welcome' });

const worker = mill.worker({
  concurrency: 10,
  handlers: {
    'mail.sent': async ({ to, subject }, { attempt }) => {
      console.log(`attempt ${attempt}: "${subject}" to ${to}`);
    },
  },
});
await worker.start();
