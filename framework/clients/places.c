/* Places. See places.h. */
#include "clients/places.h"

#include "base/clock.h"

#include "base/descriptors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    RESERVED_DESCRIPTORS = 32, /* sockets that are made again, files of a backend */
    SMALLEST_ROOM = 256
};

/* A client, at the index of its descriptor. */
struct place {
    struct places *owner; /* NULL: no client */
    struct peer *peer;    /* NULL: peers are not counted */
    uint64_t id, since_us;
    bool is_given;
};

/* ---- the pool ------------------------------------------------------------------ */

static size_t descriptors_in_use(void)
{
    enum { A_GUESS = 64 };
    struct descriptors open;
    size_t count;

    if (descriptors_list(&open) < 0)
        return A_GUESS;
    count = open.count;
    descriptors_free(&open);
    return count;
}

static size_t descriptors_for_clients(void)
{
    const size_t others = descriptors_in_use() + RESERVED_DESCRIPTORS;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return limit.rlim_cur > others ? limit.rlim_cur - others : 1;
}

void place_pool_init(struct place_pool *pool, struct event_base *base)
{
    *pool = (struct place_pool){.limit = descriptors_for_clients(), .id_step = 1};
    TAILQ_INIT(&pool->waiters);
    log_state_init(&pool->full, base, NULL, "no client waits for a descriptor any more");
}

void place_pool_finish(struct place_pool *pool)
{
    log_state_finish(&pool->full);
    free(pool->by_fd);
}

/* The place of a descriptor; NULL if there is no memory for it. */
static struct place *place_at(struct place_pool *pool, int fd)
{
    const size_t index = (size_t)fd;
    size_t room = pool->room > 0 ? pool->room : SMALLEST_ROOM;
    struct place *grown;

    if (index < pool->room)
        return &pool->by_fd[index];
    while (room <= index)
        room *= 2;
    grown = realloc(pool->by_fd, room * sizeof *grown);
    if (!grown)
        return NULL;
    memset(grown + pool->room, 0, (room - pool->room) * sizeof *grown);
    pool->by_fd = grown;
    pool->room = room;
    return &grown[index];
}

/* ---- waiting ------------------------------------------------------------------- */

static bool has_reached_own_limit(const struct places *places)
{
    return places->limits->clients > 0 && places->taken >= (size_t)places->limits->clients;
}

bool places_are_free(const struct places *places)
{
    return !has_reached_own_limit(places) && places->pool->taken < places->pool->limit;
}

static void unlist(struct place_waiter *waiter)
{
    if (waiter->is_listed)
        TAILQ_REMOVE(&waiter->places->pool->waiters, waiter, link);
    waiter->is_listed = false;
}

/* One place is free, so one waiter is called: the one that has waited longest, which waits behind
 * the others when it has taken its client. */
static void call_waiter(struct place_pool *pool)
{
    struct place_waiter *waiter;

    TAILQ_FOREACH(waiter, &pool->waiters, link) {
        if (!places_are_free(waiter->places))
            continue;
        unlist(waiter);
        waiter->go_on(waiter->arg);
        return;
    }
}

static void begin_full(struct place_waiter *waiter)
{
    const struct places *places = waiter->places;

    if (has_reached_own_limit(places)) {
        waiter->full = &waiter->places->full;
        log_state_begin(waiter->full, "%d clients are here, which is limits.clients; more wait",
                        places->limits->clients);
    } else {
        waiter->full = &places->pool->full;
        log_state_begin(waiter->full,
                        "%zu clients are here, for more there are no descriptors; more wait; raise "
                        "the limit of open files",
                        places->pool->taken);
    }
}

void places_wait(struct place_waiter *waiter)
{
    if (!waiter->full)
        begin_full(waiter);
    if (waiter->is_listed)
        return;
    TAILQ_INSERT_TAIL(&waiter->places->pool->waiters, waiter, link);
    waiter->is_listed = true;
}

void places_wait_over(struct place_waiter *waiter)
{
    if (!waiter->full)
        return;
    unlist(waiter);
    log_state_end(waiter->full);
    waiter->full = NULL;
    call_waiter(waiter->places->pool); /* passes on the place that it did not need */
}

/* ---- taking and giving back ------------------------------------------------------- */

static void give_back(struct place_pool *pool, struct place *place)
{
    struct places *owner = place->owner;

    if (place->peer)
        peers_leave(&owner->peers, place->peer);
    if (place->is_given)
        owner->given--;
    owner->taken--;
    pool->taken--;
    *place = (struct place){0};
    call_waiter(pool);
}

void places_count_shortage(struct places *places)
{
    places->short_of_memory++;
    log_count_add(&places->shortages);
}

/* is_short: there is no memory; else its peer has too many. */
static int refuse(struct places *places, int take_fd, bool is_short)
{
    close(take_fd);
    if (is_short) {
        places_count_shortage(places);
    } else {
        log_count_add(&places->refusals);
        places->refused++;
    }
    return -1;
}

/* 0: peers are not distinguished. */
static size_t most_of_peer(const struct config_limits *limits)
{
    if (limits->clients_per_peer > 0)
        return (size_t)limits->clients_per_peer;
    return limits->buffer_bytes_per_peer > 0 ? SIZE_MAX : 0;
}

int places_take(struct places *places, int take_fd, const struct sockaddr *address,
                socklen_t length)
{
    struct place_pool *pool = places->pool;
    struct place *place = place_at(pool, take_fd);
    const size_t most = most_of_peer(places->limits);
    struct peer *peer = NULL;

    places->accepted++;
    if (!place)
        return refuse(places, take_fd, true);
    if (place->owner) { /* the kernel has reused the number, so that client is gone */
        log_count_add(&place->owner->unreported);
        give_back(pool, place);
    }
    if (most > 0 && !(peer = peers_enter(&places->peers, take_fd, address, length, most)))
        return refuse(places, take_fd, errno == ENOMEM);
    pool->last_id += pool->id_step;
    *place = (struct place){
        .owner = places, .peer = peer, .id = pool->last_id, .since_us = clock_us()};
    places->taken++;
    pool->taken++;
    return 0;
}

struct peer *places_peer(const struct places *places, int fd)
{
    return places->pool->by_fd[fd].peer;
}

void places_close(struct places *places, int take_fd)
{
    close(take_fd);
    give_back(places->pool, &places->pool->by_fd[take_fd]);
}

void places_close_for_memory(struct places *places, int take_fd)
{
    places_count_shortage(places);
    places_close(places, take_fd);
}

void places_give(struct places *places, int fd)
{
    places->pool->by_fd[fd].is_given = true;
    places->given++;
}

bool places_take_back(struct places *places, int fd)
{
    struct place_pool *pool = places->pool;
    struct place *place = fd >= 0 && (size_t)fd < pool->room ? &pool->by_fd[fd] : NULL;

    if (!place || place->owner != places || !place->is_given) {
        log_count_add(&places->strangers);
        return false;
    }
    give_back(pool, place);
    return true;
}

/* ---- looking ---------------------------------------------------------------------- */

bool places_next(const struct places *places, struct place_view *view)
{
    const struct place_pool *pool = places->pool;

    for (size_t fd = (size_t)view->fd + 1; fd < pool->room; fd++) {
        const struct place *place = &pool->by_fd[fd];

        if (place->owner != places)
            continue;
        *view = (struct place_view){(int)fd, place->id, place->since_us, place->is_given};
        return true;
    }
    return false;
}

size_t places_room(const struct places *places)
{
    return places->pool->room;
}

/* ---- life --------------------------------------------------------------------------- */

static void init_refusals(struct places *places, struct event_base *base, const char *service_name)
{
    log_count_init(&places->refusals, base, service_name, "client",
                   "refused: more of one peer than limits.clients_per_peer (%d)",
                   places->limits->clients_per_peer);
}

void places_init(struct places *places, struct place_pool *pool, struct event_base *base,
                 const struct config_limits *limits, const char *service_name)
{
    *places = (struct places){.pool = pool, .limits = limits};
    places->peers.memory_most = (size_t)limits->buffer_bytes_per_peer;
    log_state_init(&places->full, base, service_name, "no client waits for a place any more");
    init_refusals(places, base, service_name);
    log_count_init(&places->strangers, base, service_name, "call",
                   "of rpd_client_gone() with a descriptor that is no client of the backend: a "
                   "mistake in the plugin");
    log_count_init(&places->unreported, base, service_name, "client",
                   "closed by the backend without rpd_client_gone(): a mistake in the plugin");
    log_count_init(&places->shortages, base, service_name, "client",
                   "closed: there was no memory for it; lower limits.buffer_bytes");
}

void places_change_limits(struct places *places, struct event_base *base,
                          const struct config_limits *limits, const char *service_name)
{
    places->limits = limits;
    places->peers.memory_most = (size_t)limits->buffer_bytes_per_peer;
    log_count_finish(&places->refusals);
    init_refusals(places, base, service_name);
    call_waiter(places->pool);
}

void places_finish(struct places *places)
{
    struct place_pool *pool = places->pool;

    for (size_t fd = 0; fd < pool->room && places->taken > 0; fd++)
        if (pool->by_fd[fd].owner == places)
            give_back(pool, &pool->by_fd[fd]);
    log_state_finish(&places->full);
    log_count_finish(&places->refusals);
    log_count_finish(&places->strangers);
    log_count_finish(&places->unreported);
    log_count_finish(&places->shortages);
}
