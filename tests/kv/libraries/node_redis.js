// What an application does with node-redis; prints what it sees. Run against kv and redis-server:
// the output must be the same.
//
//     node_redis.js SOCKET          (NODE_PATH has redis)
'use strict';
const {createClient, commandOptions, WatchError} = require('redis');
const path = process.argv[2];
const show = (what, found) => console.log(what, JSON.stringify(found));

async function connect() {
  const client = createClient({socket: {path, reconnectStrategy: 20}});
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function values(client) {
  show('set', await client.set('a', '1', {EX: 1000}));
  show('incrBy', await client.incrBy('a', 41));
  show('ttl', (await client.ttl('a')) > 990);
  show('mSet', await client.mSet({b: 'x', c: 'y'}));
  show('mGet', await client.mGet(['a', 'b', 'c', 'none']));
  show('setBit', [await client.setBit('bits', 7, 1), await client.getBit('bits', 7)]);
  show('expireTime', (await client.expireTime('a')) > 1700000000);
  show('copy', await client.copy('b', 'copied'));
  show('move', await client.move('copied', 2));
  show('objectEncoding', await client.objectEncoding('a'));
  show('large', await client.set('large', 'v'.repeat(3000000)));
  show('large', (await client.get(commandOptions({returnBuffers: true}), 'large')).length);
  show('del', await client.del(['a', 'b', 'c', 'bits', 'large']));
}

async function transactions(client, other) {
  show('multi', await client.multi().set('n', '1').incr('n').get('n').exec());
  const answers = [];
  for (let i = 0; i < 1000; i++) answers.push(client.set(`key:${i}`, `${i}`));
  show('pipelined', (await Promise.all(answers)).every((answer) => answer === 'OK'));
  try {
    show('error inside',
         await client.multi().set('text', 'abc').incr('text').set('after', '1').exec());
  } catch (error) {
    show('error inside', error.constructor.name);
  }
  show('after', await client.get('after'));
  try {
    await client.multi().addCommand(['NOSUCH', 'x']).incr('counted').exec();
  } catch (error) {
    show('refused', error.constructor.name);
  }
  show('nothing half applied', await client.get('counted'));
  await client.executeIsolated(async (own) => {
    await own.watch('n');
    await other.incr('n');
    try {
      await own.multi().set('n', 'lost').exec();
    } catch (error) {
      show('watched', error instanceof WatchError);
    }
  });
  show('n', await client.get('n'));
}

async function scans(client) {
  const seen = new Set();
  for await (const key of client.scanIterator({MATCH: 'key:*', COUNT: 100})) seen.add(key);
  show('scan', seen.size);
  show('keys', (await client.keys('key:1??')).length);
}

async function listening(client) {
  const listener = await connect();
  const seen = [];
  let finish;
  const all = new Promise((resolve) => (finish = resolve));
  const add = (text, channel) => seen.push([channel, text]) === 2 && finish();
  await listener.subscribe('news', add);
  await listener.pSubscribe('n*', add);
  show('publish', await client.publish('news', 'hello'));
  await all;
  show('messages', seen);
  show('pubSubChannels', await client.pubSubChannels());
  await listener.unsubscribe('news');
  await listener.pUnsubscribe('n*');
  show('get', await listener.get('after'));
  await listener.disconnect();
}

async function reconnects(client, other) {
  const number = await client.clientId();
  const ready = new Promise((resolve) => client.once('ready', resolve));
  show('killed', await other.clientKill({filter: 'ID', id: number}));
  await ready;
  show('again', await client.ping());
  show('another', (await client.clientId()) > number);
}

async function main() {
  const client = await connect(), other = await connect();
  await client.flushAll();
  await values(client);
  await transactions(client, other);
  await scans(client);
  await listening(client);
  await reconnects(client, other);
  await client.flushAll();
  show('quit', [await client.quit(), await other.quit()]);
  console.log('done');
}

main().catch((error) => {
  console.log(`${error.name}: ${error.message}`);
  process.exit(1);
});
