/* A client's request to librpd-client, and its steps. The calls that wait (client.c) and those that
 * do not (start.c) both use them. */
#ifndef FRAMEWORK_CLIENT_REQUEST_H
#define FRAMEWORK_CLIENT_REQUEST_H

#include "observe/instance.h"

#include <rpd/client.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct client_request {
    const char *config, *service;
    uint64_t deadline_us; /* of CLOCK_MONOTONIC; UINT64_MAX: none */
    int dirfd;            /* the run-time directory; -1: it does not exist yet */
    struct rpd_client_error *error;
};

/* Fills the error. Returns -1. */
RPD_PRINTF(3, 4) int client_fail(struct client_request *request, int code, const char *format, ...);
int client_time_out(struct client_request *request, const char *what);

/* Opens the run-time directory, if it exists. -1: it is not trusted, because any process could
 * write a false record there. */
int client_open_directory(struct client_request *request);

/* Whether the service is bound and not about to end. Call instance_finish() in either case. */
bool client_lives(struct client_request *request, struct instance *ret);

/* ---- rpdctl ensure ---- */

struct client_child {
    pid_t pid;
    int errors; /* its stderr */
};

/* Runs rpdctl ensure. Returns 0, or -1. */
int client_run_rpdctl(struct client_request *request, struct client_child *ret);

/* The last line of its stderr, because warnings come before it. */
struct client_words {
    char *text;
    size_t room, used;
};

/* 1: there may be more; 0: that was all; -1: nothing to read now. */
int client_words_read(struct client_words *words, int fd);
void client_words_end(struct client_words *words);

enum { CLIENT_CODE_UNKNOWN = 1 };

/* The exit code; -1 if there is none to read: the caller ignores SIGCHLD, or waits for all
 * children. */
int client_wait_for(pid_t pid);

/* Judges the exit code: 0, -1, or CLIENT_CODE_UNKNOWN. */
int client_judge(struct client_request *request, int code);

/* rpdctl ensure has run (ran: the result of client_judge()), and the service is not there. Returns
 * -1; errno is ENOENT if the service may come back. */
int client_is_not_there(struct client_request *request, int ran);

/* Whether a failed connect may succeed in a moment: a daemon that ended between look and connect
 * may be started again. */
bool client_is_worth_another_try(int cause);
enum { CLIENT_PAUSE_US = 20000, CLIENT_TRIES_MAX = 10 };

#endif
