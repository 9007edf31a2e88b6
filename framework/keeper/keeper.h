/* The keeper: the process that owns claims, listeners, files and the control socket, and runs no
 * code of a backend. Its child, the runner, does (runner.h), and after a crash the next one: a
 * crash is a pause for those who wait, and nothing for those who come.
 *
 *   [start]  STARTING ──prepared──► PREPARED        keeper_start() waits for it: until then any end
 *                                                   of the runner is the keeper's
 *   [loop]   PREPARED ──go──► SERVING ──stop──► ENDING ──► NONE
 *                ▲                │
 *                └─── STARTING ◄──┴─ crash: at once, or after a pause (crash_rules.h)
 *
 * At any time at most one process accepts at a listener: the keeper, while no runner serves
 * (passing.h), or the runner. */
#ifndef FRAMEWORK_KEEPER_H
#define FRAMEWORK_KEEPER_H

#include "base/error.h"
#include "keeper/crash_rules.h"
#include "keeper/passing.h"
#include "keeper/runner.h"
#include "service/service.h"

struct event;
struct event_base;

/* [loop] */
struct keeper_events {
    /* The next runner needs state pages of its own. */
    void (*make_pages)(void *arg);
    /* The runner has something for the service manager, in the words of sd_notify. */
    void (*notice)(void *arg, const char *text);
    /* The runner serves, or does not any more. */
    void (*serves)(void *arg, bool serves);
    /* No client has come for long (asked: and after that none has come either), or one has. */
    void (*idle)(void *arg, bool is_idle);
    /* The runner ends by itself, and the keeper with it: no client shall come any more. */
    void (*ending)(void *arg, int code);
    /* All is over: of a stop, or with the end of a runner that is the keeper's, too. */
    void (*ended)(void *arg, const struct runner_end *end);
};

enum keeper_stage { KEEPER_NONE, KEEPER_STARTING, KEEPER_PREPARED, KEEPER_SERVING, KEEPER_ENDING };

struct keeper {
    /* Set by the owner: */
    char **argv; /* of this process */
    struct rpd_service *services;
    size_t service_count;
    struct claim **claims;
    size_t claim_count;
    int runtime_dirfd;
    uint64_t bound_us, watchdog_us;
    bool waits_in_crash_loop;
    const struct keeper_events *events;
    void *arg;
    /* Private: */
    enum keeper_stage stage;
    struct runner runner;
    struct passing *rooms; /* one a service */
    struct event_base *base;
    struct event *channel, *end, *notices, *next;
    struct crash_rules rules;
    bool was_ready, stopping, stop_is_sent, is_asking;
    unsigned restarts, generation;
    int crash_code;
    int64_t crash_time_s;
};

/* [start] Starts the first runner, and waits until it could serve: what its backends bind is bound
 * then. 0; 1: a stop was asked for; -1: it has ended, as *ret_end says, which lives as long as the
 * keeper, or it could not be started: error, and ret_end->code is -1. */
int keeper_start(struct keeper *keeper, struct runner_end *ret_end, struct error *error);

/* [loop] The pages are made: the runner serves. 0, or -1 without memory. */
int keeper_serve(struct keeper *keeper, struct event_base *base, struct place_pool *pool);

/* [loop] Withdraws, and lets the runner drain; ended() is called when it is gone, maybe at once. */
void keeper_drain(struct keeper *keeper);

/* [loop] Asks the runner again whether it is idle: idle() is called. */
void keeper_ask_idle(struct keeper *keeper);

/* [loop] The run-time directory or locks may be others now. */
void keeper_locks_made(struct keeper *keeper);

/* [loop] Another file is the page, another socket the listener now. */
void keeper_page_made(struct keeper *keeper, const struct rpd_service *service);
void keeper_listener_made(struct keeper *keeper, const struct rpd_service *service,
                          const struct attachment *attachment);

/* [loop] Whether the rooms are empty and a runner serves. */
bool keeper_may_rest(const struct keeper *keeper);

/* [start] Ends the runner, if there still is one. Legal at any time. */
void keeper_finish(struct keeper *keeper);

#endif
