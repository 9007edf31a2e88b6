/* SUBSCRIBE, PSUBSCRIBE, PUBLISH, PUBSUB. See pubsub.h. */
#include "glob.h"
#include "pubsub.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, SUBSCRIPTIONS_MAX = 65536 /* of a session */, LOOK_EVERY = 64 };

struct subscription {
    TAILQ_ENTRY(subscription) in_channel, in_session;
    struct session *session;
    struct channel *channel;
};

struct channel {
    TAILQ_ENTRY(channel) link;
    TAILQ_HEAD(listeners, subscription) listeners;
    size_t count;      /* of them */
    struct glob *glob; /* of a pattern */
    size_t size;
    char name[];
};

TAILQ_HEAD(channel_list, channel);

struct channel_table {
    struct channel_list buckets[BUCKETS];
    struct channel_list patterns;
    size_t counts[2]; /* of channels, and of patterns */
    /* Of the PUBLISH that is at work: whom it comes to next. */
    struct subscription *next;
    struct channel *pattern;
};

/* ---- channels ------------------------------------------------------------------- */

static struct channel_list *list_of(const struct kv *kv, struct rpd_span name, bool is_pattern)
{
    if (is_pattern)
        return &kv->channel_table->patterns;
    return &kv->channel_table->buckets[siphash(kv->store.seed, name.data, name.size) % BUCKETS];
}

static struct channel *find(const struct kv *kv, struct rpd_span name, bool is_pattern)
{
    struct channel *channel;

    if (!kv->channel_table)
        return NULL;
    TAILQ_FOREACH(channel, list_of(kv, name, is_pattern), link)
        if (channel->size == name.size && memcmp(channel->name, name.data, name.size) == 0)
            return channel;
    return NULL;
}

static bool make_table(struct kv *kv)
{
    struct channel_table *table = kv->channel_table ? kv->channel_table : calloc(1, sizeof *table);

    if (!table || kv->channel_table)
        return table;
    for (size_t i = 0; i < BUCKETS; i++)
        TAILQ_INIT(&table->buckets[i]);
    TAILQ_INIT(&table->patterns);
    kv->channel_table = table;
    return true;
}

static struct channel *make(struct kv *kv, struct rpd_span name, bool is_pattern)
{
    struct channel *channel = make_table(kv) ? calloc(1, sizeof *channel + name.size) : NULL;

    if (!channel)
        return NULL;
    if (is_pattern && !(channel->glob = glob_compile(name.data, name.size, false))) {
        free(channel);
        return NULL;
    }
    TAILQ_INIT(&channel->listeners);
    channel->size = name.size;
    if (name.data)
        memcpy(channel->name, name.data, name.size);
    TAILQ_INSERT_TAIL(list_of(kv, name, is_pattern), channel, link);
    kv->channel_table->counts[is_pattern]++;
    return channel;
}

static void drop(struct kv *kv, struct channel *channel)
{
    struct channel_table *table = kv->channel_table;
    const bool is_pattern = channel->glob;

    if (table->pattern == channel)
        table->pattern = TAILQ_NEXT(channel, link);
    table->counts[is_pattern]--;
    TAILQ_REMOVE(list_of(kv, (struct rpd_span){channel->name, channel->size}, is_pattern), channel,
                 link);
    glob_free(channel->glob);
    free(channel);
}

/* ---- subscriptions ---------------------------------------------------------------- */

static struct subscription *subscription_of(const struct session *session,
                                            const struct channel *channel)
{
    struct subscription *subscription;

    if (!channel)
        return NULL;
    /* Whichever is shorter. */
    if (channel->count < session->channels + session->patterns) {
        TAILQ_FOREACH(subscription, &channel->listeners, in_channel)
            if (subscription->session == session)
                return subscription;
        return NULL;
    }
    TAILQ_FOREACH(subscription, &session->subscriptions, in_session)
        if (subscription->channel == channel)
            return subscription;
    return NULL;
}

static bool add(struct kv *kv, struct session *session, struct rpd_span name, bool is_pattern)
{
    struct channel *channel = find(kv, name, is_pattern);
    struct subscription *subscription;

    if (subscription_of(session, channel))
        return true;
    if (session->channels + session->patterns == SUBSCRIPTIONS_MAX)
        return false;
    subscription = malloc(sizeof *subscription);
    if (subscription && !channel)
        channel = make(kv, name, is_pattern);
    if (!subscription || !channel) {
        free(subscription);
        return false;
    }
    *subscription = (struct subscription){.session = session, .channel = channel};
    TAILQ_INSERT_TAIL(&channel->listeners, subscription, in_channel);
    TAILQ_INSERT_TAIL(&session->subscriptions, subscription, in_session);
    channel->count++;
    *(is_pattern ? &session->patterns : &session->channels) += 1;
    return true;
}

static void take_away(struct kv *kv, struct subscription *subscription)
{
    struct channel *channel = subscription->channel;
    struct session *session = subscription->session;

    if (kv->channel_table->next == subscription)
        kv->channel_table->next = TAILQ_NEXT(subscription, in_channel);
    TAILQ_REMOVE(&channel->listeners, subscription, in_channel);
    TAILQ_REMOVE(&session->subscriptions, subscription, in_session);
    *(channel->glob ? &session->patterns : &session->channels) -= 1;
    free(subscription);
    if (--channel->count == 0)
        drop(kv, channel);
}

void pubsub_forget(struct kv *kv, struct session *session)
{
    struct subscription *subscription;

    while ((subscription = TAILQ_FIRST(&session->subscriptions)))
        take_away(kv, subscription);
}

bool pubsub_is_on(const struct session *session)
{
    return session->channels + session->patterns > 0;
}

size_t pubsub_count(const struct kv *kv, bool is_pattern)
{
    return kv->channel_table ? kv->channel_table->counts[is_pattern] : 0;
}

void pubsub_finish(struct kv *kv)
{
    free(kv->channel_table);
    kv->channel_table = NULL;
}

/* ---- the commands about them --------------------------------------------------------- */

/* name.data: NULL for none. */
static void answer(struct call *call, const char *what, struct rpd_span name)
{
    reply_push(call->reply, 3);
    reply_text(call->reply, what);
    if (name.data)
        reply_bulk(call->reply, name.data, name.size);
    else
        reply_null(call->reply);
    reply_integer(call->reply, call->session->channels + call->session->patterns);
}

static void subscribe(struct call *call, const char *what, bool is_pattern)
{
    struct progress *progress = &call->progress;

    while (progress->arg + 1 < call->argc) {
        const struct rpd_span name = call_arg(call, ++progress->arg);
        if (!add(call->kv, call->session, name, is_pattern)) {
            reply_error(call->reply, "ERR no room for this subscription");
            return;
        }
        answer(call, what, name);
        if (progress->arg % LOOK_EVERY == 0 && call_is_late(call))
            return;
    }
}

static void unsubscribe_all(struct call *call, const char *what, bool is_pattern)
{
    struct subscription *subscription = TAILQ_FIRST(&call->session->subscriptions), *next;
    bool was_any = false;

    for (; subscription; subscription = next) {
        next = TAILQ_NEXT(subscription, in_session);
        if ((subscription->channel->glob != NULL) != is_pattern)
            continue;
        was_any = true;
        char *name = strndup(subscription->channel->name, subscription->channel->size);
        const size_t size = subscription->channel->size;
        take_away(call->kv, subscription);
        answer(call, what, (struct rpd_span){name ? name : "", name ? size : 0});
        free(name);
    }
    if (!was_any)
        answer(call, what, (struct rpd_span){NULL, 0});
}

static void unsubscribe(struct call *call, const char *what, bool is_pattern)
{
    struct progress *progress = &call->progress;

    if (call->argc == 1) {
        unsubscribe_all(call, what, is_pattern);
        return;
    }
    while (progress->arg + 1 < call->argc) {
        const struct rpd_span name = call_arg(call, ++progress->arg);
        struct subscription *subscription = subscription_of(call->session,
                                                            find(call->kv, name, is_pattern));
        if (subscription)
            take_away(call->kv, subscription);
        answer(call, what, name);
        if (progress->arg % LOOK_EVERY == 0 && call_is_late(call))
            return;
    }
}

void command_subscribe(struct call *call)
{
    subscribe(call, "subscribe", false);
}

void command_psubscribe(struct call *call)
{
    subscribe(call, "psubscribe", true);
}

void command_unsubscribe(struct call *call)
{
    unsubscribe(call, "unsubscribe", false);
}

void command_punsubscribe(struct call *call)
{
    unsubscribe(call, "punsubscribe", true);
}

/* ---- PUBLISH ---------------------------------------------------------------------------- */

static void write_to_conn(void *conn, const char *data, size_t size)
{
    rpd_conn_write(conn, data, size);
}

static void write_message(struct reply *reply, const struct channel *channel, struct rpd_span name,
                          struct rpd_span message)
{
    reply_push(reply, channel->glob ? 4 : 3);
    reply_text(reply, channel->glob ? "pmessage" : "message");
    if (channel->glob)
        reply_bulk(reply, channel->name, channel->size);
    reply_bulk(reply, name.data, name.size);
    reply_bulk(reply, message.data, message.size);
}

/* What the publisher itself is answered must stay in order. */
static void deliver(struct call *call, const struct subscription *to)
{
    const struct rpd_span name = call_arg(call, 1), message = call_arg(call, 2);
    struct reply reply;

    if (to->session == call->session) {
        write_message(call->reply, to->channel, name, message);
        return;
    }
    reply.size = 0;
    reply.has_written = reply.is_muted = false;
    reply.protocol = to->session->protocol;
    reply.write = write_to_conn;
    reply.to = to->session->conn;
    write_message(&reply, to->channel, name, message);
    reply_flush(&reply);
}

/* To those from table->next on. False: it is not done. */
static bool deliver_all(struct call *call)
{
    struct channel_table *table = call->kv->channel_table;
    struct progress *progress = &call->progress;

    while (table->next) {
        struct subscription *to = table->next;
        table->next = TAILQ_NEXT(to, in_channel);
        deliver(call, to);
        if (++progress->count % LOOK_EVERY == 0 && call_is_late(call))
            return false;
    }
    return true;
}

enum { PUBLISH_BEGINS, PUBLISH_CHANNEL, PUBLISH_PATTERNS };

static bool matches(const struct channel *pattern, struct rpd_span name)
{
    enum glob_result result;

    do
        result = glob_try(pattern->glob, name.data, name.size);
    while (result == GLOB_LATER);
    return result == GLOB_MATCH;
}

/* False: it is not done. */
static bool publish(struct call *call)
{
    const struct rpd_span name = call_arg(call, 1);
    struct channel_table *table = call->kv->channel_table;
    struct progress *progress = &call->progress;

    if (progress->stage == PUBLISH_BEGINS) {
        struct channel *channel = find(call->kv, name, false);
        table->next = channel ? TAILQ_FIRST(&channel->listeners) : NULL;
        table->pattern = TAILQ_FIRST(&table->patterns);
        progress->stage = PUBLISH_CHANNEL;
    }
    for (;;) {
        struct channel *pattern = table->pattern;
        if (!deliver_all(call))
            return false;
        if (!pattern)
            return true;
        table->pattern = TAILQ_NEXT(pattern, link);
        if (matches(pattern, name))
            table->next = TAILQ_FIRST(&pattern->listeners);
        else if (call_is_late(call))
            return false;
    }
}

void command_publish(struct call *call)
{
    if (!call->kv->channel_table || publish(call))
        reply_integer(call->reply, call->progress.count);
}

/* ---- PUBSUB ------------------------------------------------------------------------------- */

static size_t each_channel(struct call *call, struct glob *glob, bool answers)
{
    struct channel_table *table = call->kv->channel_table;
    const struct channel *channel;
    size_t count = 0;

    for (size_t i = 0; table && i < BUCKETS; i++)
        TAILQ_FOREACH(channel, &table->buckets[i], link)
            if (!glob || glob_try(glob, channel->name, channel->size) == GLOB_MATCH) {
                count++;
                if (answers)
                    reply_bulk(call->reply, channel->name, channel->size);
            }
    return count;
}

static void answer_channels(struct call *call)
{
    struct glob *glob = NULL;

    if (call->argc == 3) {
        const struct rpd_span pattern = call_arg(call, 2);
        glob = glob_compile(pattern.data, pattern.size, false);
        if (!glob) {
            call_no_memory(call);
            return;
        }
    }
    reply_array(call->reply, each_channel(call, glob, false));
    each_channel(call, glob, true);
    glob_free(glob);
}

static void answer_numsub(struct call *call)
{
    reply_array(call->reply, 2 * (size_t)(call->argc - 2));
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct rpd_span name = call_arg(call, i);
        const struct channel *channel = find(call->kv, name, false);
        reply_bulk(call->reply, name.data, name.size);
        reply_integer(call->reply, channel ? (int64_t)channel->count : 0);
    }
}

void command_pubsub(struct call *call)
{
    if (call_arg_is(call, 1, "channels") && call->argc <= 3)
        answer_channels(call);
    else if (call_arg_is(call, 1, "numsub"))
        answer_numsub(call);
    else if (call_arg_is(call, 1, "numpat") && call->argc == 2)
        reply_integer(call->reply, (int64_t)pubsub_count(call->kv, true));
    else
        call_unknown_subcommand(call);
}
