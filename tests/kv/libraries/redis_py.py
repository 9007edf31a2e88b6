"""What an application does with redis-py; prints what it sees. Run against kv and redis-server: the
output must be the same.

    redis_py.py SOCKET"""

import sys
import threading

import redis

path = sys.argv[1]


def connect(**options):
    return redis.Redis(unix_socket_path=path, decode_responses=True, **options)


def show(what, found):
    print(what, found, flush=True)


def expect(what, call):
    try:
        show(what, call())
    except redis.RedisError as error:
        show(what, "%s: %s" % (type(error).__name__, error))


def values(client):
    show("set", client.set("a", "1", ex=1000))
    show("get", client.get("a"))
    show("incr", client.incr("a", 41))
    show("ttl", 990 < client.ttl("a") <= 1000)
    show("mset", client.mset({"b": "x", "c": "y"}))
    show("mget", client.mget("a", "b", "c", "none"))
    show("getex", client.getex("b", px=100000))
    show("setbit", [client.setbit("bits", i, 1) for i in (3, 5, 100)])
    show("bitcount", client.bitcount("bits"))
    show("getrange", client.getrange("a", 0, 0))
    show("copy", client.copy("b", "copied"))
    show("move", client.move("copied", 2))
    show("renamenx", client.renamenx("b", "c"))
    show("encoding", [client.object("encoding", key) for key in ("a", "c")])
    show("type", client.type("a"))
    show("delete", client.delete("a", "b", "c", "bits"))
    show("large", client.set("large", "v" * 3000000) and len(client.get("large")))


def pipelines(client):
    with client.pipeline() as pipe:  # in MULTI, as redis-py has it by default
        show("transaction", pipe.set("n", 1).incr("n").incr("n").get("n").execute())
    with client.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set("key:%d" % i, i)
        show("pipeline", all(pipe.execute()))
    pipe = client.pipeline()
    pipe.set("text", "abc").incr("text").set("after", 1)
    try:
        pipe.execute()
    except redis.ResponseError as error:
        show("error inside", error)
    show("after", client.get("after"))
    pipe = client.pipeline()
    pipe.execute_command("NOSUCH", "x")
    pipe.incr("counted")
    try:
        pipe.execute()
    except redis.RedisError as error:
        show("refused", "%s" % type(error).__name__)
    show("nothing half applied", client.get("counted"))


def transactions(client, other):
    def increment(pipe):
        value = int(pipe.get("n"))
        tries.append(value)
        if len(tries) == 1:
            other.incr("n")  # another client is faster
        pipe.multi()
        pipe.set("n", value + 100)

    tries = []
    show("watched", client.transaction(increment, "n"))
    show("tries", tries)
    show("n", client.get("n"))
    with client.pipeline() as pipe:
        pipe.watch("n")
        other.delete("n")
        pipe.multi()
        pipe.set("n", "lost")
        try:
            pipe.execute()
        except redis.WatchError:
            show("watch error", client.get("n"))


def scans(client):
    show("scan", len(set(client.scan_iter("key:*", count=100))))
    show("keys", len(client.keys("key:1??")))
    show("dbsize", client.dbsize())


def listening(client):
    listener = client.pubsub()
    listener.subscribe("news")
    listener.psubscribe("n*")
    show("subscribed", [listener.get_message(timeout=20)["type"] for _ in range(2)])
    show("numsub", client.pubsub_numsub("news"))
    show("numpat", client.pubsub_numpat())
    show("channels", client.pubsub_channels())
    show("published", client.publish("news", "hello"))
    for _ in range(2):
        message = listener.get_message(timeout=20)
        show("message", [message[key] for key in ("type", "pattern", "channel", "data")])
    show("time-out", listener.get_message(timeout=0.05))
    listener.unsubscribe()
    listener.punsubscribe()
    show("unsubscribed", [listener.get_message(timeout=20)["type"] for _ in range(2)])
    listener.close()


def reconnects(client, other):
    number = client.client_id()
    show("killed", other.client_kill_filter(_id=number))
    try:
        show("cut", client.ping())
    except redis.ConnectionError:
        show("cut", "ConnectionError")
    show("again", client.ping())
    show("another", client.client_id() > number)
    slow = connect(socket_timeout=0.3, single_connection_client=True)
    slow.execute_command("CLIENT", "SETNAME", "slow")
    slow.connection.send_command("CLIENT", "REPLY", "OFF")
    expect("time-out", lambda: slow.get("a"))
    show("after it", slow.ping())


def threads():
    def work():
        own = connect()
        for _ in range(200):
            own.incr("shared")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main():
    client, other = connect(single_connection_client=True), connect()
    client.flushall()
    values(client)
    pipelines(client)
    transactions(client, other)
    scans(client)
    listening(connect())
    reconnects(client, other)
    threads()
    show("shared", client.get("shared"))
    expect("syntax", lambda: client.execute_command("SET", "a"))
    show("slowlog", client.slowlog_len() >= 0)
    show("version", client.info()["redis_version"])
    show("time", len(client.time()))
    client.flushall()
    print("done")


main()
