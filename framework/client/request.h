/* A client's request to librpd-client, and its steps, which both forms of it take: the one
 * that waits (client.c), and the one that does not (start.c). */
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
    int dirfd;            /* the run-time directory; -1: it is not there yet */
    struct rpd_client_error *error;
};

/* Fills the error; -1. */
RPD_PRINTF(3, 4) int client_fail(struct client_request *request, int code, const char *format, ...);
int client_time_out(struct client_request *request, const char *what);

/* Opens the run-time directory, if it is there. -1: it is one that is not to be believed: in it
 * any process could say that the service lives, and where. */
int client_open_directory(struct client_request *request);

/* Bound, and not on its way out. instance_finish() is due. */
bool client_lives(struct client_request *request, struct instance *ret);

/* ---- rpdctl ensure ---- */

struct client_child {
    pid_t pid;
    int errors; /* what it says on stderr */
};

/* Runs it: 0, or -1. */
int client_run_rpdctl(struct client_request *request, struct client_child *ret);

/* What it says: in the end the last line, as warnings come before it. */
struct client_words {
    char *text;
    size_t room, used;
};

/* 1: there may be more; 0: that was all; -1: not now. */
int client_words_read(struct client_words *words, int fd);
void client_words_end(struct client_words *words);

enum { CLIENT_CODE_UNKNOWN = 1 };

/* Its exit code; -1 if that cannot be had: the caller ignores SIGCHLD, or waits for all. */
int client_wait_for(pid_t pid);

/* By its code: 0, -1, or CLIENT_CODE_UNKNOWN. */
int client_judge(struct client_request *request, int code);

/* It was made sure (ran: client_judge()'s) and is not there: -1. errno is ENOENT if it may come
 * back. */
int client_is_not_there(struct client_request *request, int ran);

/* Whether a failed connect may succeed in a moment: it goes between a look and a connect,
 * and comes again. */
bool client_is_worth_another_try(int cause);
enum { CLIENT_PAUSE_US = 20000, CLIENT_TRIES_MAX = 10 };

#endif
