/* Reloads: who asks for one, one at a time, and how it ends.
 *
 *   IDLE ──asked──► ASKED ──the loop's next turn──► RUNS ──► IDLE, or ASKED for those that came
 *                                                            meanwhile
 *
 * All that ask before a reload begins get the same one; all that ask while it runs get the next.
 * Each gets a ticket, by which the end is announced. */
#ifndef FRAMEWORK_RELOAD_H
#define FRAMEWORK_RELOAD_H

#include "control/reply.h"
#include "daemon/live.h"
#include "keeper/keeper.h"

#include <stdbool.h>

struct daemon;
struct event;
struct event_base;

enum reload_state { RELOAD_IDLE, RELOAD_ASKED, RELOAD_RUNS };

struct reload {
    struct daemon *daemon;
    enum reload_state state;
    unsigned long ticket;         /* of the reload that was asked for first, and has not ended */
    struct control_reload asked;  /* for it */
    struct control_reload queued; /* for the one behind it */
    bool is_queued;
    struct event *begin;
    /* Of the one that runs: */
    struct live live;
    struct error_list errors;
    char text[256];
    bool is_prepared, took_over; /* by a keeper: live_prepare() was done; live_apply(), too */
    bool is_settled;             /* and there is no way back */
    /* The last one, while a keeper can go back to the generation before: */
    struct live trial;
    /* Of the last check: */
    struct live check;
    struct error_list check_errors;
    struct control_reload_end check_end;
};

/* [start] NULL without memory. reload_free() takes NULL, too. */
struct reload *reload_new(struct daemon *daemon);
void reload_free(struct reload *reload);

/* [start] On the loop. 0, or -1 without memory. */
int reload_start(struct reload *reload, struct event_base *base);

/* [loop] Returns the ticket. */
unsigned long reload_ask(void *reload, const struct control_reload *request);

/* [loop] The plan of a reload that would be asked for now. */
const struct control_reload_end *reload_check(void *reload);

/* [loop] A SIGHUP has come. */
void reload_by_signal(void *reload);

/* [loop] It was of live changes alone, and they are made: its text says so. */
void reload_describe_live(struct reload *reload);

/* [loop] Shows it in the pages of all services. */
void reload_show_error(const struct reload *reload, const char *text);

/* [loop] The one that runs has ended, as its errors say. */
void reload_end(struct reload *reload);

/* [loop] A stop has begun: a reload that has not begun will not. */
void reload_leave(void *reload);

/* ---- reload_keeper.c: with a keeper; what it says (keeper/keeper.h) ---------------------------
 */

/* [loop] Begins; reload_end() follows. False: not yet, as the first load is under way. */
bool reload_may_begin(const struct reload *reload);
void reload_by_keeper(struct reload *reload);

bool reload_switching(struct reload *reload);
void reload_took_over(struct reload *reload, struct state_page *pages);
void reload_renewed(struct reload *reload, const struct keeper_renewed *how);
void reload_changed(struct reload *reload, int code, const char *errors);
void reload_rolled_back(struct reload *reload, const char *how);
void reload_settled(struct reload *reload);

#endif
