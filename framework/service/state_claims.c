/* State claims. See state_claims.h. */
#include "service/state_claims.h"

#include "endpoint/claim.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    WAIT_MS = 1000, /* for one that has lost its name, and is about to leave */
    LOOK_AGAIN_MS = 20,
    NAME_THAT_FITS = 240 /* with what frames it in the name of its lock file */
};

struct state_claim {
    struct claim claim;
    char directory[PATH_MAX];
    struct state_claim *next;
};

static const char STEP[] = "claim";

void state_claims_init(struct state_claims *claims)
{
    *claims = (struct state_claims){.list = NULL};
    pthread_mutex_init(&claims->mutex, NULL);
}

/* ---- what is claimed ------------------------------------------------------------- */

/* Its lock file is "." NAME ".lock" in the directory. */
struct place {
    char directory[PATH_MAX];
    char name[NAME_MAX + 1];
};

static int place_in_directory(const char *path, struct place *ret)
{
    snprintf(ret->name, sizeof ret->name, "rpd");
    return snprintf(ret->directory, sizeof ret->directory, "%s", path);
}

static int place_beside(const char *path, struct place *ret)
{
    const char *slash = strrchr(path, '/');
    const int size = slash ? (int)(slash - path) : 0;

    snprintf(ret->name, sizeof ret->name, "%s", slash ? slash + 1 : path);
    if (!slash)
        return snprintf(ret->directory, sizeof ret->directory, ".");
    return snprintf(ret->directory, sizeof ret->directory, "%.*s", size > 0 ? size : 1, path);
}

static int find_place(const char *path, struct place *ret, struct error *error)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    struct stat status = {0};
    int length;

    if (lstat(path, &status) < 0 && errno != ENOENT)
        return error_set(error, EXIT_SYSTEM, STEP, path,
                         "cannot look at it: %s; name a file that "
                         "this user can reach",
                         strerror(errno));
    if (S_ISLNK(status.st_mode))
        return error_set(error, EXIT_SECURITY, STEP, path,
                         "it is a symbolic link, and could lead elsewhere tomorrow; name the file "
                         "itself");
    if (!S_ISDIR(status.st_mode) && (!*name || strlen(name) > NAME_THAT_FITS))
        return error_set(error, EXIT_CONFIG, STEP, path,
                         "a name of 1 to %d bytes must end it; use another", NAME_THAT_FITS);
    length = S_ISDIR(status.st_mode) ? place_in_directory(path, ret) : place_beside(path, ret);
    if (length < 0 || (size_t)length >= sizeof ret->directory)
        return error_set(error, EXIT_CONFIG, STEP, path, "the path is too long; use a shorter one");
    return 0;
}

static int prepare(struct state_claim *state, const struct place *place, const char *path,
                   const char *identity, struct error *error)
{
    snprintf(state->directory, sizeof state->directory, "%s", place->directory);
    if (claim_prepare_path(&state->claim, state->directory, place->name, path, identity, error) < 0)
        return -1;
    state->claim.is_state = true;
    return 0;
}

/* By whatever path: the directory and the name in it are the same. */
static struct state_claim *find(const struct state_claims *claims, const struct claim *claim)
{
    struct state_claim *state = claims->list;

    while (state && (state->claim.device != claim->device || state->claim.inode != claim->inode ||
                     strcmp(state->claim.lock_name, claim->lock_name) != 0))
        state = state->next;
    return state;
}

/* ---- taking ------------------------------------------------------------------------- */

static int take_patiently(struct claim *claim, struct error *error)
{
    const struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * 1000000L};
    int failed;

    for (int waited_ms = 0;; waited_ms += LOOK_AGAIN_MS) {
        failed = claim_take_all(&claim, 1, error);
        if (!failed || error->code != EXIT_RUNNING || waited_ms >= WAIT_MS)
            break;
        nanosleep(&pause, NULL);
    }
    if (!failed)
        claim_settled(&claim, 1);
    return failed;
}

/* Still, or again. 75: another has it now. */
static int renew(struct claim *claim, struct error *error)
{
    if (claim_is_displaced(claim)) {
        if (claim_move(&claim, 1, -1, -1, error) < 0)
            return -1;
        claim_settled(&claim, 1);
    }
    return claim_heal(claim, error) == 0 ? 0 : -1;
}

static int add(struct state_claims *claims, struct state_claim *state, struct error *error)
{
    if (take_patiently(&state->claim, error) < 0)
        return -1;
    state->next = claims->list;
    claims->list = state;
    return 0;
}

/* A claim that is new is kept, and *state is then not freed. */
static int take(struct state_claims *claims, struct state_claim **state, const char *path,
                const char *identity, struct error *error)
{
    struct state_claim *known;
    struct place place;
    int failed;

    if (!path || !*path)
        return error_set(error, EXIT_CONTRACT, STEP, "rpd_claim_state()",
                         "it was called without a path; name the file or directory");
    if (!*state)
        return error_set(error, EXIT_SYSTEM, STEP, path, "out of memory");
    (*state)->claim.dirfd = (*state)->claim.lock.fd = -1;
    if (find_place(path, &place, error) < 0 || prepare(*state, &place, path, identity, error) < 0)
        return -1;
    known = find(claims, &(*state)->claim);
    if (known)
        return renew(&known->claim, error);
    failed = add(claims, *state, error);
    if (!failed)
        *state = NULL;
    return failed;
}

static void discard(struct state_claim *state)
{
    if (!state)
        return;
    claim_release(&state->claim);
    free(state);
}

int state_claims_take(struct state_claims *claims, const char *path, const char *identity,
                      struct error *error)
{
    struct state_claim *state = calloc(1, sizeof *state);
    int failed;

    if (state)
        state->claim.dirfd = state->claim.lock.fd = -1;
    pthread_mutex_lock(&claims->mutex);
    failed = take(claims, &state, path, identity, error);
    if (failed && !claims->error)
        claims->error = malloc(sizeof *claims->error);
    if (failed && claims->error)
        *claims->error = *error;
    pthread_mutex_unlock(&claims->mutex);
    discard(state);
    return failed;
}

/* ---- afterwards ------------------------------------------------------------------------ */

/* By its path, as the directory may be another one now. */
static struct state_claim *find_path(const struct state_claims *claims, const struct place *place)
{
    struct state_claim *state = claims->list;
    char lock_name[NAME_MAX + 1];

    snprintf(lock_name, sizeof lock_name, ".%.240s.lock", place->name);
    while (state && (strcmp(state->directory, place->directory) != 0 ||
                     strcmp(state->claim.lock_name, lock_name) != 0))
        state = state->next;
    return state;
}

bool state_claims_hold(struct state_claims *claims, const char *path)
{
    struct state_claim *state;
    struct place place;
    struct error error;
    bool held;

    if (!path || !*path || find_place(path, &place, &error) < 0)
        return false;
    pthread_mutex_lock(&claims->mutex);
    state = find_path(claims, &place);
    held = state && renew(&state->claim, &error) == 0;
    pthread_mutex_unlock(&claims->mutex);
    return held;
}

bool state_claims_failure(struct state_claims *claims, struct error *ret)
{
    struct error *error;

    pthread_mutex_lock(&claims->mutex);
    error = claims->error;
    claims->error = NULL;
    pthread_mutex_unlock(&claims->mutex);
    if (error)
        *ret = *error;
    free(error);
    return error != NULL;
}

void state_claims_release(struct state_claims *claims)
{
    struct state_claim *state;

    while ((state = claims->list)) {
        claims->list = state->next;
        discard(state);
    }
    free(claims->error);
    claims->error = NULL;
}
