/* The numbers that kv declares. See metrics.h. */
#include "metrics.h"

#include "kv.h"

#include <string.h>

/* A row for each command that there is, in any order: they are found by their names. */
#define COMMAND(name) RPD_COUNTER_OF("kv_commands", "command=" name, "", "Commands that were run")
#define TIME(group)                                                                                \
    RPD_HISTOGRAM_OF("kv_command_time", "group=" group, "us",                                      \
                     "How long commands took; one in 64 is measured")

const struct rpd_metric kv_metrics[] = {
    [KV_HITS] = RPD_COUNTER("kv_hits", "", "Lookups that found their key"),
    [KV_MISSES] = RPD_COUNTER("kv_misses", "", "Lookups that found no key"),
    [KV_EXPIRED] = RPD_COUNTER("kv_expired", "", "Keys that were deleted because they expired"),
    [KV_EVICTED] = RPD_COUNTER("kv_evicted", "", "Keys that were deleted to stay within maxmemory"),
    [KV_KEYS] = RPD_GAUGE("kv_keys", "", "Keys in the store"),
    [KV_MEMORY] = RPD_GAUGE("kv_memory", "bytes", "Memory of keys and values"),
    [KV_CHANGES] = RPD_GAUGE("kv_unsaved_changes", "", "Changes since the last snapshot"),
    [KV_LAST_SAVE] = RPD_GAUGE("kv_last_save", "seconds",
                               "When the last snapshot was made, since 1970; 0: none is kept"),
    [KV_SAVED] = RPD_COUNTER_OF("kv_snapshots", "result=saved", "", "Snapshots that ended"),
    [KV_NOT_SAVED] = RPD_COUNTER_OF("kv_snapshots", "result=failed", "", "Snapshots that ended"),
    [KV_CALLED_OFF] = RPD_COUNTER_OF("kv_snapshots", "result=called_off", "",
                                     "Snapshots that ended"),
    [KV_SAVE_TIME] = RPD_HISTOGRAM("kv_snapshot_time", "ms", "How long a snapshot took"),
    [KV_TIMES] = TIME("bitmap"),
    TIME("connection"),
    TIME("generic"),
    TIME("pubsub"),
    TIME("server"),
    TIME("string"),
    TIME("transactions"),
    [KV_COMMANDS] = COMMAND("other"), /* refused requests, and unknown commands */
    COMMAND("append"),
    COMMAND("auth"),
    COMMAND("bgsave"),
    COMMAND("bitcount"),
    COMMAND("client"),
    COMMAND("command"),
    COMMAND("config"),
    COMMAND("copy"),
    COMMAND("dbsize"),
    COMMAND("decr"),
    COMMAND("decrby"),
    COMMAND("del"),
    COMMAND("discard"),
    COMMAND("echo"),
    COMMAND("exec"),
    COMMAND("exists"),
    COMMAND("expire"),
    COMMAND("expireat"),
    COMMAND("expiretime"),
    COMMAND("flushall"),
    COMMAND("flushdb"),
    COMMAND("get"),
    COMMAND("getbit"),
    COMMAND("getdel"),
    COMMAND("getex"),
    COMMAND("getrange"),
    COMMAND("getset"),
    COMMAND("hello"),
    COMMAND("incr"),
    COMMAND("incrby"),
    COMMAND("incrbyfloat"),
    COMMAND("info"),
    COMMAND("keys"),
    COMMAND("lastsave"),
    COMMAND("latency"),
    COMMAND("mget"),
    COMMAND("move"),
    COMMAND("mset"),
    COMMAND("msetnx"),
    COMMAND("multi"),
    COMMAND("object"),
    COMMAND("persist"),
    COMMAND("pexpire"),
    COMMAND("pexpireat"),
    COMMAND("pexpiretime"),
    COMMAND("ping"),
    COMMAND("psetex"),
    COMMAND("psubscribe"),
    COMMAND("pttl"),
    COMMAND("publish"),
    COMMAND("pubsub"),
    COMMAND("punsubscribe"),
    COMMAND("quit"),
    COMMAND("randomkey"),
    COMMAND("rename"),
    COMMAND("renamenx"),
    COMMAND("reset"),
    COMMAND("save"),
    COMMAND("scan"),
    COMMAND("select"),
    COMMAND("set"),
    COMMAND("setbit"),
    COMMAND("setex"),
    COMMAND("setnx"),
    COMMAND("setrange"),
    COMMAND("slowlog"),
    COMMAND("strlen"),
    COMMAND("subscribe"),
    COMMAND("substr"),
    COMMAND("time"),
    COMMAND("touch"),
    COMMAND("ttl"),
    COMMAND("type"),
    COMMAND("unlink"),
    COMMAND("unsubscribe"),
    COMMAND("unwatch"),
    COMMAND("watch"),
    RPD_METRICS_END,
};

enum { ROWS = sizeof kv_metrics / sizeof *kv_metrics - 1 };

/* The row from first on whose label has that value, or first. */
static size_t find(size_t first, const char *value)
{
    const char *name = kv_metrics[first].name;

    for (size_t i = first; value && i < ROWS && strcmp(kv_metrics[i].name, name) == 0; i++)
        if (strcmp(strchr(kv_metrics[i].labels, '=') + 1, value) == 0)
            return i;
    return first;
}

void metrics_init(struct metrics *metrics, const struct rpd_service *service)
{
    size_t count;
    const struct command *commands = command_table(&count);

    metrics->values = rpd_service_metrics(service);
    metrics->first = commands;
    for (size_t i = 0; i < count && i < METRICS_COMMANDS; i++) {
        metrics->commands[i] = metrics->values[find(KV_COMMANDS, commands[i].name)];
        metrics->times[i] = metrics->values[find(KV_TIMES, commands[i].group)];
    }
}

void metrics_show(const struct kv *kv)
{
    uint64_t *const *values = kv->metrics.values;
    size_t keys = 0;

    for (unsigned i = 0; i < STORE_DATABASES; i++)
        keys += kv->store.databases[i].count;
    rpd_metric_set(values[KV_HITS], (int64_t)kv->store.hits);
    rpd_metric_set(values[KV_MISSES], (int64_t)kv->store.misses);
    rpd_metric_set(values[KV_EXPIRED], (int64_t)kv->store.expired);
    rpd_metric_set(values[KV_EVICTED], (int64_t)kv->store.evicted);
    rpd_metric_set(values[KV_KEYS], (int64_t)keys);
    rpd_metric_set(values[KV_MEMORY], (int64_t)store_memory(&kv->store));
    rpd_metric_set(values[KV_CHANGES], (int64_t)(kv->store.changes - kv->saved_changes));
    rpd_metric_set(values[KV_LAST_SAVE],
                   rpd_option_string(kv->service, "snapshot") ? kv->last_save_s : 0);
}
