/* What the checks of `rpdctl check` work with: the plugin under test, real
 * daemons that run it (stages), and their clients.
 *
 * A check returns a verdict; kit_failed() and its like make it, with a text. A function that can
 * fail returns false or NULL after it has made the text, so that a check reads
 *
 *     if (!(stage = stage_start(kit, &options)) || !stage_is_ready(stage))
 *         return FAILED;
 *
 * and leaves everything as it is: between two checks all stages are killed, all
 * clients closed, and all files removed. */
#ifndef FRAMEWORK_RPDCTL_KIT_H
#define FRAMEWORK_RPDCTL_KIT_H

#include "base/error.h"
#include "plugin/elf_plugin.h"

#include <rpd/state.h>

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum verdict { PASSED, FAILED, SKIPPED };

enum { KIT_STAGES = 4, KIT_CLIENTS = 256, KIT_TEXT_MAX = 640, KIT_DIR_MAX = 64 };

struct kit;

/* One daemon, in a run-time directory of its own. */
struct stage {
    struct kit *kit;
    char dir[KIT_DIR_MAX + 16];
    char socket[KIT_DIR_MAX + 40]; /* where clients come, unless the options say otherwise */
    int dirfd;
    pid_t pid; /* 0: there is none, or it was waited for */
    int pidfd, notify_fd;
    uint64_t started_us, bound_us;
    int status;
};

struct stage_options {
    const char *wrap;   /* of rpdctl/check/daemon.c; NULL: it is rpd that runs */
    const char *warmup; /* these: NULL, as by default */
    const char *on_load_failure;
    const char *seal;
    const char *listen[2];
};

struct kit {
    const char *plugin;  /* as the user named it */
    char path[PATH_MAX]; /* resolved, once the plugin was inspected */
    char rpd[PATH_MAX], self[PATH_MAX];
    bool quick;
    uint64_t end_us; /* when the time is over */

    /* The plugin as a file, and as code. An error has text "" if there is none. */
    struct elf_plugin note;
    struct error file_error, code_error;
    json_t *descriptor;    /* NULL: it cannot be loaded */
    json_t *options;       /* services[].options */
    char *request, *reply; /* the probe; NULL: it has none */
    size_t request_size, reply_size;

    char *dir; /* of all stages; shorter than KIT_DIR_MAX */
    struct stage stages[KIT_STAGES];
    size_t stage_count;
    int clients[KIT_CLIENTS];
    size_t client_count;
    char text[KIT_TEXT_MAX];
};

/* ---- verdicts --------------------------------------------------------------------------- */

#define KIT_PRINTF __attribute__((format(printf, 2, 3)))
enum verdict kit_passed(struct kit *kit, const char *format, ...) KIT_PRINTF;
enum verdict kit_passes(struct kit *kit); /* without a text */
enum verdict kit_failed(struct kit *kit, const char *format, ...) KIT_PRINTF;
enum verdict kit_skipped(struct kit *kit, const char *format, ...) KIT_PRINTF;

bool kit_has(const struct kit *kit, const char *callback);

/* ---- stages ----------------------------------------------------------------------------- */

struct stage *stage_start(struct kit *kit, const struct stage_options *options);

/* Waits for BOUND; for READY; until a worker runs its load. */
bool stage_is_bound(struct stage *stage);
bool stage_is_ready(struct stage *stage);
bool stage_is_loading(struct stage *stage);

/* Starts a plain stage, and waits until it is ready. */
struct stage *stage_start_ready(struct kit *kit);

/* Reads the stage's state page now; false if there is none. */
bool stage_page(const struct stage *stage, struct rpd_state_page *ret);

/* Waits until the page shows this phase or a later one; without a text if it does not. */
bool stage_reaches(struct stage *stage, enum rpd_phase phase, int within_ms);

/* Pauses before the next look at what changes without an event: memory, and /proc. False if the
 * next look is the last: the time (of clock_us()) is over or, at once, the daemon has ended. */
bool stage_looks_again(struct stage *stage, uint64_t end_us);

void stage_signal(const struct stage *stage, int signal_number);

/* Whether the daemon ends by itself within this time, with this exit code, and leaves nothing
 * behind. */
bool stage_ends(struct stage *stage, int code, int within_ms);
bool stage_leaves_nothing(struct stage *stage);

/* Sends SIGTERM, and then likewise. */
bool stage_stops(struct stage *stage);

/* Whether the daemon has not ended; whether it does not end within this time. */
bool stage_lives(struct stage *stage);
bool stage_stays(struct stage *stage, int ms);

/* The last line that the daemon wrote. */
const char *stage_last_line(const struct stage *stage, char room[256]);

/* The beginning of all that it wrote; to be freed. NULL: no memory. */
char *stage_log(const struct stage *stage);

/* -1: not known. highest: the number of the highest descriptor. */
int stage_descriptors(const struct stage *stage, int *ret_highest);
long stage_memory_kib(const struct stage *stage);

/* Between two checks. */
void kit_clear(struct kit *kit);

/* ---- clients ---------------------------------------------------------------------------- */

/* If a client fails because the daemon dies, the daemon's end is the text.
 *
 * A connected socket that does not block, or -1. */
int client_open(struct stage *stage);
void client_close(struct kit *kit, int fd);

bool client_sends(struct stage *stage, int fd, const void *data, size_t size);

/* Sends the probe. If the plugin has none, sends nothing, and returns true. */
bool client_asks(struct stage *stage, int fd);

/* Reads bytes until this many have come, the client's input ends, or the time is over; *ret_ended:
 * the input ended. */
size_t client_reads(int fd, char *buffer, size_t size, int within_ms, bool *ret_ended);

/* Whether the answer to the probe, if there is one, comes, and begins as it should. */
bool client_is_answered(struct stage *stage, int fd, int within_ms);

/* Whether a new client that sends the probe is answered; it leaves then. Without a probe: whether a
 * client that connects finds the daemon alive. */
bool stage_answers(struct stage *stage);

/* For clients and callbacks that are slow, or late, on purpose. */
void kit_sleep_ms(unsigned milliseconds);

#endif
