/* INFO: what there is to say of the server, with the names that Redis's clients look for. What kv
 * does not have is 0. */
#include "kv.h"
#include "multi.h"
#include "pubsub.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

struct info {
    char text[16384];
    size_t size;
};

static void RPD_PRINTF(2, 3) add(struct info *info, const char *format, ...)
{
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(info->text + info->size, sizeof info->text - info->size, format, arguments);
    va_end(arguments);
    if (size > 0 && (size_t)size < sizeof info->text - info->size)
        info->size += (size_t)size;
}

/* names: what kv does not have, with spaces in between. */
static void add_zeros(struct info *info, const char *names)
{
    int size;

    for (; *names; names += size + (names[size] == ' ')) {
        size = (int)strcspn(names, " ");
        add(info, "%.*s:0\r\n", size, names);
    }
}

static void add_server(struct info *info, const struct call *call)
{
    const int64_t now_us = kv_clock_wall_ms() * 1000;
    const long long up = (kv_clock_monotonic_us() - call->kv->started_us) / 1000000;

    add(info,
        "redis_version:7.0.15\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\n"
        "redis_build_id:0\r\nredis_mode:standalone\r\nos:Linux\r\narch_bits:64\r\n"
        "server_name:rpd-kv\r\nmultiplexing_api:epoll\r\nprocess_id:%ld\r\n"
        "server_time_usec:%lld\r\nuptime_in_seconds:%lld\r\nuptime_in_days:%lld\r\n"
        "hz:20\r\nconfigured_hz:20\r\nlru_clock:%lld\r\n",
        (long)getpid(), (long long)now_us, up, up / 86400,
        (long long)(now_us / 1000000 & 0xffffff));
    add_zeros(info, "tcp_port io_threads_active");
}

static void add_clients(struct info *info, const struct call *call)
{
    add(info, "connected_clients:%llu\r\n", (unsigned long long)call->kv->sessions);
    add_zeros(info, "cluster_connections maxclients client_recent_max_input_buffer "
                    "client_recent_max_output_buffer blocked_clients tracking_clients "
                    "clients_in_timeout_table");
}

/* Of the whole process. */
static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (!file)
        return 0;
    /* The kernel wrote these numbers. NOLINTNEXTLINE(cert-err34-c) */
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void add_size(struct info *info, const char *name, size_t bytes)
{
    add(info, "%s:%zu\r\n%s_human:%.2fM\r\n", name, bytes, name, (double)bytes / 1048576);
}

static void add_memory(struct info *info, const struct call *call)
{
    const size_t used = store_memory(call->store), rss = resident_bytes();
    const size_t data = store_data(call->store);
    struct kv *kv = call->kv;

    if (used > kv->peak_memory)
        kv->peak_memory = used;
    add_size(info, "used_memory", used);
    add_size(info, "used_memory_rss", rss);
    add_size(info, "used_memory_peak", kv->peak_memory);
    add(info,
        "used_memory_peak_perc:%.2f%%\r\nused_memory_dataset:%zu\r\n"
        "used_memory_dataset_perc:%.2f%%\r\nallocator_allocated:%zu\r\n"
        "allocator_active:%zu\r\nallocator_resident:%zu\r\n",
        kv->peak_memory ? (double)used * 100 / (double)kv->peak_memory : 0, data,
        used ? (double)data * 100 / (double)used : 0, data, used, used);
    add_size(info, "total_system_memory",
             (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE));
    add_size(info, "maxmemory", call->store->limit);
    add(info,
        "maxmemory_policy:allkeys-lru\r\nallocator_frag_ratio:%.2f\r\n"
        "allocator_frag_bytes:%zu\r\nmem_fragmentation_ratio:%.2f\r\n"
        "mem_fragmentation_bytes:%lld\r\nmem_allocator:kv\r\n",
        data ? (double)used / (double)data : 0, used - data, used ? (double)rss / (double)used : 0,
        (long long)rss - (long long)used);
    add_zeros(info, "used_memory_overhead used_memory_startup used_memory_lua "
                    "used_memory_vm_eval used_memory_scripts_eval number_of_cached_scripts "
                    "number_of_functions number_of_libraries used_memory_vm_functions "
                    "used_memory_vm_total used_memory_functions used_memory_scripts "
                    "allocator_rss_ratio allocator_rss_bytes rss_overhead_ratio "
                    "rss_overhead_bytes mem_not_counted_for_evict mem_replication_backlog "
                    "mem_total_replication_buffers mem_clients_slaves mem_clients_normal "
                    "mem_cluster_links mem_aof_buffer active_defrag_running "
                    "lazyfree_pending_objects lazyfreed_objects");
}

static void add_persistence(struct info *info, const struct call *call)
{
    const struct kv *kv = call->kv;
    const struct rpd_progress progress = rpd_service_progress(call->service);

    add(info,
        "loading:%d\r\nrdb_changes_since_last_save:%llu\r\nrdb_bgsave_in_progress:%d\r\n"
        "rdb_last_save_time:%lld\r\nrdb_last_bgsave_status:%s\r\n"
        "rdb_last_bgsave_time_sec:-1\r\nrdb_current_bgsave_time_sec:-1\r\n"
        "aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n"
        "aof_last_bgrewrite_status:ok\r\naof_last_write_status:ok\r\n",
        !kv->is_ready, (unsigned long long)(kv->store.changes - kv->saved_changes),
        kv->save != NULL, (long long)kv->last_save_s, kv->last_save_failed ? "err" : "ok");
    if (kv->last_save_failed)
        add(info, "kv_last_save_error:%s\r\n", kv->save_failure);
    add_zeros(info, "async_loading current_cow_peak current_cow_size current_cow_size_age "
                    "current_fork_perc current_save_keys_processed current_save_keys_total "
                    "rdb_saves rdb_last_cow_size rdb_last_load_keys_expired "
                    "rdb_last_load_keys_loaded aof_enabled aof_rewrite_in_progress "
                    "aof_rewrite_scheduled aof_rewrites aof_rewrites_consecutive_failures "
                    "aof_last_cow_size module_fork_in_progress module_fork_last_cow_size");
    if (kv->store.loaded != UINT64_MAX)
        add(info, "loading_loaded_perc:%.2f\r\nkv_loaded_parts:%d\r\nkv_lost_parts:%d\r\n",
            progress.fraction * 100, __builtin_popcountll(kv->store.loaded),
            kv->is_ready ? TABLE_PARTS - __builtin_popcountll(kv->store.loaded) : 0);
}

static void add_stats(struct info *info, const struct call *call)
{
    const struct store *store = call->store;
    const struct kv *kv = call->kv;

    add(info,
        "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
        "expired_keys:%llu\r\nevicted_keys:%llu\r\nkeyspace_hits:%llu\r\n"
        "keyspace_misses:%llu\r\npubsub_channels:%zu\r\npubsub_patterns:%zu\r\n"
        "kv_clients_short_of_memory:%llu\r\nkv_steps:%llu\r\nkv_longest_step_us:%lld\r\n",
        (unsigned long long)kv->connections, (unsigned long long)kv->commands_done,
        (unsigned long long)store->expired, (unsigned long long)store->evicted,
        (unsigned long long)store->hits, (unsigned long long)store->misses, pubsub_count(kv, false),
        pubsub_count(kv, true), (unsigned long long)kv->short_of_memory,
        (unsigned long long)kv->steps_done, (long long)kv->longest_step_us);
    add_zeros(info,
              "instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes "
              "total_net_repl_input_bytes total_net_repl_output_bytes instantaneous_input_kbps "
              "instantaneous_output_kbps instantaneous_input_repl_kbps "
              "instantaneous_output_repl_kbps rejected_connections sync_full sync_partial_ok "
              "sync_partial_err expired_stale_perc expired_time_cap_reached_count "
              "expire_cycle_cpu_milliseconds evicted_clients total_eviction_exceeded_time "
              "current_eviction_exceeded_time pubsubshard_channels latest_fork_usec total_forks "
              "migrate_cached_sockets slave_expires_tracked_keys active_defrag_hits "
              "active_defrag_misses active_defrag_key_hits active_defrag_key_misses "
              "total_active_defrag_time current_active_defrag_time tracking_total_keys "
              "tracking_total_items tracking_total_prefixes unexpected_error_replies "
              "total_error_replies dump_payload_sanitizations total_reads_processed "
              "total_writes_processed io_threaded_reads_processed io_threaded_writes_processed "
              "reply_buffer_shrinks reply_buffer_expands");
}

static void add_replication(struct info *info, const struct call *call)
{
    (void)call;
    add(info, "role:master\r\nmaster_failover_state:no-failover\r\nsecond_repl_offset:-1\r\n");
    add_zeros(info, "connected_slaves master_repl_offset repl_backlog_active repl_backlog_size "
                    "repl_backlog_first_byte_offset repl_backlog_histlen");
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void add_cpu(struct info *info, const struct call *call)
{
    struct rusage all = {0}, loop = {0};

    (void)call;
    getrusage(RUSAGE_SELF, &all);
    getrusage(RUSAGE_THREAD, &loop);
    add(info,
        "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\nused_cpu_sys_children:0.000000\r\n"
        "used_cpu_user_children:0.000000\r\nused_cpu_sys_main_thread:%.6f\r\n"
        "used_cpu_user_main_thread:%.6f\r\n",
        seconds_of(all.ru_stime), seconds_of(all.ru_utime), seconds_of(loop.ru_stime),
        seconds_of(loop.ru_utime));
}

static void add_nothing(struct info *info, const struct call *call)
{
    (void)info;
    (void)call;
}

static void add_cluster(struct info *info, const struct call *call)
{
    (void)call;
    add_zeros(info, "cluster_enabled");
}

static void add_keyspace(struct info *info, const struct call *call)
{
    for (unsigned i = 0; i < STORE_DATABASES; i++) {
        const struct database *database = &call->store->databases[i];
        if (database->count > 0)
            add(info, "db%u:keys=%zu,expires=%zu,avg_ttl=0\r\n", i, database->count,
                database->expiring);
    }
}

static const struct {
    const char *name;
    void (*add)(struct info *info, const struct call *call);
} sections[] = {
    {"Server", add_server},
    {"Clients", add_clients},
    {"Memory", add_memory},
    {"Persistence", add_persistence},
    {"Stats", add_stats},
    {"Replication", add_replication},
    {"CPU", add_cpu},
    {"Modules", add_nothing},
    {"Errorstats", add_nothing},
    {"Cluster", add_cluster},
    {"Keyspace", add_keyspace},
};

static bool is_section_wanted(const struct call *call, const char *name)
{
    bool wanted = call->argc == 1;

    for (uint32_t i = 1; i < call->argc; i++)
        wanted |= call_arg_is(call, i, name) || call_arg_is(call, i, "all") ||
                  call_arg_is(call, i, "default") || call_arg_is(call, i, "everything");
    return wanted;
}

void command_info(struct call *call)
{
    struct info info = {.size = 0};

    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (!is_section_wanted(call, sections[i].name))
            continue;
        add(&info, "%s# %s\r\n", info.size ? "\r\n" : "", sections[i].name);
        sections[i].add(&info, call);
    }
    reply_verbatim(call->reply, info.text, info.size);
}
