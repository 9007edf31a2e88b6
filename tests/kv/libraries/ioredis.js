// What an application does with ioredis; prints what it sees. Run against kv and redis-server: the
// output must be the same.
//
//     ioredis.js SOCKET          (NODE_PATH has ioredis)
'use strict';
const Redis = require('ioredis');
const path = process.argv[2];
const show = (what, found) => console.log(what, JSON.stringify(found));
const connect = (options) => new Redis({path, ...options});
const message = (error) => `${error.name}: ${error.message}`;

async function values(client) {
  show('set', await client.set('a', '1', 'EX', 1000));
  show('incrby', await client.incrby('a', 41));
  show('ttl', (await client.ttl('a')) > 990);
  show('mset', await client.mset({b: 'x', c: 'y'}));
  show('mget', await client.mget('a', 'b', 'c', 'none'));
  show('buffer', await client.setBuffer('bin', Buffer.from([0, 1, 255]), 'GET'));
  show('getBuffer', (await client.getBuffer('bin')).toJSON().data);
  show('bitcount', await client.bitcount('bin'));
  show('copy', await client.copy('b', 'copied', 'DB', 2));
  show('large', await client.set('large', 'v'.repeat(3000000)));
  show('large', (await client.get('large')).length);
  show('del', await client.del('a', 'b', 'c', 'bin', 'large'));
}

async function transactions(client, other) {
  show('multi', await client.multi().set('n', 1).incr('n').get('n').exec());
  const pipeline = client.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.set(`key:${i}`, i);
  show('pipeline', (await pipeline.exec()).every(([error, answer]) => !error && answer === 'OK'));
  const inside = await client.multi().set('text', 'abc').incr('text').set('after', 1).exec();
  show('error inside', inside.map(([error, answer]) => (error ? error.message : answer)));
  try {
    await client.multi().call('NOSUCH', 'x').incr('counted').exec();
  } catch (error) {
    show('refused', error.message);
  }
  show('nothing half applied', await client.get('counted'));
  await client.watch('n');
  await other.incr('n');
  show('watched', await client.multi().set('n', 'lost').exec());
  show('n', await client.get('n'));
  await client.multi({pipeline: false});
  show('queued', await client.set('q', 1));
  show('discard', await client.discard());
}

async function scans(client) {
  const seen = new Set();
  for await (const keys of client.scanStream({match: 'key:*', count: 100}))
    for (const key of keys) seen.add(key);
  show('scan', seen.size);
  show('keys', (await client.keys('key:1??')).length);
}

async function listening(client) {
  const listener = connect();
  show('subscribe', await listener.subscribe('news', 'other'));
  show('psubscribe', await listener.psubscribe('n*'));
  const seen = [];
  const all = new Promise((resolve) => {
    const add = (...found) => seen.push(found) === 2 && resolve();
    listener.on('message', (channel, text) => add('message', channel, text));
    listener.on('pmessage', (pattern, channel, text) => add('pmessage', pattern, channel, text));
  });
  show('publish', await client.publish('news', 'hello'));
  await all;
  show('messages', seen);
  show('numsub', await client.pubsub('NUMSUB', 'news', 'none'));
  try {
    await listener.get('a');
  } catch (error) {
    show('listener', error.message);
  }
  show('unsubscribe', await listener.unsubscribe('news', 'other'));
  show('punsubscribe', await listener.punsubscribe('n*'));
  show('get', await listener.get('after'));
  listener.disconnect();
}

async function reconnects(client, other) {
  const number = await client.client('ID');
  const closed = new Promise((resolve) => client.once('close', resolve));
  show('killed', await other.client('KILL', 'ID', number));
  await closed;
  show('again', await client.ping());
  show('another', (await client.client('ID')) > number);
  const slow = connect({commandTimeout: 300});
  slow.client('REPLY', 'OFF').catch(() => {});
  try {
    show('time-out', await slow.get('a'));
  } catch (error) {
    show('time-out', message(error));
  }
  slow.disconnect();
}

async function main() {
  const client = connect(), other = connect();
  await client.flushall();
  await values(client);
  await transactions(client, other);
  await scans(client);
  await listening(client);
  await reconnects(client, other);
  await client.flushall();
  show('quit', [await client.quit(), await other.quit()]);
  console.log('done');
}

main().catch((error) => {
  console.log(message(error));
  process.exit(1);
});
