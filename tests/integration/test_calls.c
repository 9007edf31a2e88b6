/* The calls of rpd/conn.h, in any order, from any callback, against a model of what rpd/conn.h
 * promises. plugins/calls.c makes them.
 *
 * A table of sequences is generated for each callback: each call, each pair of calls, and random
 * sequences of three to five; with small outputs, and with outputs that fill the socket and are not
 * read until the calls have been made. After each sequence the connection must be in the state that
 * the model predicts: closed, at its end, paused, or answering. All output must have arrived, in
 * order, and the connection must go when its client does. */
#include "common.h"

enum { SMALL = 10, LARGE = 300000, MUCH = 1000000, RANDOM_ROWS = 40, CALLS_MAX = 5 };

static const char all_calls[] = "wpRPrfac";

struct row {
    const char *context;
    char calls[CALLS_MAX + 1];
    size_t size;
    bool pauses;
};

/* ---- the model ---- */

struct model {
    const struct row *row;
    bool is_own; /* the calls are made in a callback of the connection */
    bool broken, closed, finishing, paused, freed;
    int keeps, lines;
    char input[32]; /* input that no callback has consumed */
    char *output;
    size_t size;
    char results[CALLS_MAX + 1];
};

static void model_write(struct model *model, char byte, size_t size)
{
    memset(model->output + model->size, byte, size);
    model->size += size;
}

static void model_text(struct model *model, const char *text)
{
    memcpy(model->output + model->size, text, strlen(text));
    model->size += strlen(text);
}

static void model_consume(struct model *model, size_t size)
{
    const size_t length = strlen(model->input);

    size = size < length ? size : length;
    memmove(model->input, model->input + size, length - size + 1);
}

static bool model_writes(const struct model *model)
{
    return !model->broken && !model->closed && !model->finishing;
}

static void model_release(struct model *model)
{
    if (model->keeps > 0)
        model->keeps--;
    model->freed |= model->closed && model->keeps == 0 && !model->is_own;
}

static char model_call(struct model *model, char what)
{
    const size_t size = model->row->size;

    if (model->freed)
        return '.';
    if (what == 'w' || what == 'p') {
        if (!model_writes(model))
            return '-';
        model_write(model, what == 'w' ? 'w' : ' ', size);
        model->output[model->size - 1] = what;
        return '0';
    }
    switch (what) {
    case 'R': model->paused = false; break;
    case 'P': model->paused = true; break;
    case 'r': model_release(model); break;
    case 'f': model->finishing = true; break;
    case 'c': model_consume(model, 3); break;
    default:
        model->broken = true;
        model->closed |= !model->is_own;
        model->freed |= model->closed && model->keeps == 0 && !model->is_own;
    }
    return '+';
}

static void model_calls(struct model *model)
{
    for (size_t i = 0; model->row->calls[i]; i++)
        model->results[i] = model_call(model, model->row->calls[i]);
}

/* Calls on_data as often as needed. */
static void model_data(struct model *model)
{
    char *end;

    while (model_writes(model) && !model->paused && (end = strchr(model->input, '\n'))) {
        *end = '\0';
        model->lines++;
        if (strcmp(model->input, "go") != 0) {
            model_text(model, strcmp(model->input, "ping") == 0 ? "pong\n" : "what\n");
        } else {
            if (strcmp(model->row->context, "writable") == 0)
                model_write(model, 'g', MUCH);
            model->paused |= model->row->pauses;
        }
        *end = '\n';
        model_consume(model, (size_t)(end + 1 - model->input));
    }
}

/* ---- a row ---- */

struct scene {
    struct process *rpd;
    const char *endpoint;
    int control;
};

static bool is_context(const struct row *row, const char *names)
{
    return strstr(names, row->context) != NULL;
}

#define assert_row(condition, row, scene, format, ...)                                             \
    cr_assert(condition, "%s %s %zu %d: " format "\n%s", (row)->context, (row)->calls,             \
              (row)->size, (row)->pauses, __VA_ARGS__, process_stderr((scene)->rpd))

static void control(const struct scene *scene, const struct row *row, const char *line)
{
    const char *answer = ask(scene->control, line);

    assert_row(answer && strcmp(answer, "ok") == 0, row, scene, "%s: %s", line,
               answer ? answer : "(nothing)");
}

struct state {
    int closed, lines, made;
    char results[16];
};

static struct state state_of(const struct scene *scene, const struct row *row)
{
    struct state state;
    const char *answer = ask(scene->control, "state");

    assert_row(answer && sscanf(answer, "%d %d %d %15s", &state.closed, &state.lines, &state.made,
                                state.results) == 4,
               row, scene, "state: %s", answer ? answer : "(nothing)");
    return state;
}

/* Waits until this many lines have come, the calls were made, or the connection is closed. */
static struct state await(const struct scene *scene, const struct row *row, int lines, int made,
                          int closed)
{
    const int64_t deadline = now_ns() + 20 * INT64_C(1000000000);
    struct state state;

    do
        state = state_of(scene, row);
    while ((state.lines < lines || state.made < made || state.closed < closed) &&
           now_ns() < deadline);
    assert_row(state.lines >= lines && state.made >= made && state.closed >= closed, row, scene,
               "waited for %d lines, made %d, closed %d; there are %d, %d, %d", lines, made, closed,
               state.lines, state.made, state.closed);
    return state;
}

/* on_writable comes while up to 64 KiB are still unsent: abort() drops them. */
static bool may_be_cut(const struct row *row)
{
    return is_context(row, "writable") && strchr(row->calls, 'a');
}

/* All expected output has been read, as far as the model knows. */
static void read_output(const struct scene *scene, const struct model *model, int fd, size_t from)
{
    static char found[8 * MUCH];
    const size_t size = model->size - from;
    const ssize_t got = read_exactly(fd, found, size);
    const bool cut = may_be_cut(model->row) && (got >= 0 || errno == ECONNRESET);

    assert_row((got == (ssize_t)size || cut) &&
                   (got <= 0 || memcmp(found, model->output + from, (size_t)got) == 0),
               model->row, scene, "%zd of %zu bytes (%s), or others", got, size,
               got < 0 ? strerror(errno) : "");
}

/* Output that was in transit at the abort may be lost. */
static void read_until_reset(const struct scene *scene, const struct model *model, int fd,
                             size_t from)
{
    const size_t most = model->size - from;
    char *found = malloc(most + 1);
    size_t got = 0;
    ssize_t size;

    while ((size = recv(fd, found + got, most + 1 - got, 0)) > 0)
        got += (size_t)size;
    assert_row(size == 0 || errno == ECONNRESET, model->row, scene, "not closed: %s",
               strerror(errno));
    assert_row(got <= most && memcmp(found, model->output + from, got) == 0, model->row, scene,
               "%zu bytes of %zu, or others", got, most);
    free(found);
}

static void check_alive(const struct scene *scene, struct model *model, int fd, size_t from)
{
    const struct row *row = model->row;

    if (model->paused) {
        const struct state state = state_of(scene, row);
        assert_row(state.lines == model->lines, row, scene, "%d lines, and it is paused",
                   state.lines);
        control(scene, row, "unpause");
        model->paused = false;
        model_data(model);
    }
    cr_assert_eq(send_all(fd, "ping\n", 5), 0);
    snprintf(model->input + strlen(model->input), sizeof model->input - strlen(model->input),
             "ping\n");
    model_data(model);
    read_output(scene, model, fd, from);
}

static void check_end(const struct scene *scene, struct model *model, int fd, size_t from)
{
    if (model->broken) {
        read_until_reset(scene, model, fd, from);
    } else if (model->finishing) {
        read_output(scene, model, fd, from);
        assert_eof(fd);
    } else {
        check_alive(scene, model, fd, from);
    }
}

/* Runs to the point where the calls are made. Returns how much of the output has been read. */
static size_t prepare(const struct scene *scene, struct model *model, int fd)
{
    const struct row *row = model->row;
    size_t read = 0;

    if (send_all(fd, "go\nping\n", 8) < 0) /* on_connect may have closed it already */
        assert_row(is_context(row, "connect"), row, scene, "send: %s", strerror(errno));
    if (is_context(row, "connect"))
        model_calls(model);
    snprintf(model->input, sizeof model->input, "go\nping\n");
    if (is_context(row, "data"))
        model_calls(model);
    if (is_context(row, "connect data")) {
        await(scene, row, 0, 1, 0);
        model_data(model);
        return 0;
    }
    model_data(model);
    await(scene, row, is_context(row, "writable") ? 1 : model->lines, 0, 0);
    if (is_context(row, "writable")) {
        /* The client had too much output waiting when the calls were made: the ping is answered
         * after them. */
        model->size = MUCH;
        model->lines = 1;
        model->paused = row->pauses;
        snprintf(model->input, sizeof model->input, "ping\n");
        read_output(scene, model, fd, 0);
        read = MUCH;
        await(scene, row, 0, 1, 0);
    } else if (is_context(row, "done timer other")) {
        control(scene, row, "trigger");
    }
    if (!is_context(row, "close"))
        model_calls(model);
    model_data(model);
    return read;
}

/* The client goes, and so does the connection. */
static void leave(const struct scene *scene, struct model *model, int fd, bool release_first)
{
    const struct row *row = model->row;

    if (release_first)
        control(scene, row, "release");
    close(fd);
    if (!release_first)
        control(scene, row, "release");
    const struct state state = await(scene, row, 0, 1, 1);
    if (is_context(row, "close")) {
        model->closed = true; /* and exists until on_close returns */
        model_calls(model);
    }
    assert_row(strcmp(state.results, model->results) == 0, row, scene, "%s instead of %s",
               state.results, model->results);
}

static void check_row(const struct scene *scene, const struct row *row, bool release_first)
{
    static char output[8 * MUCH];
    struct model model = {
        .row = row, .is_own = !is_context(row, "done timer other"), .keeps = 1, .output = output};

    control(scene, row,
            textf("script %s %s %zu %d", row->context, row->calls, row->size, row->pauses));
    const int fd = client(scene->endpoint);
    const size_t from = prepare(scene, &model, fd);
    check_end(scene, &model, fd, from);
    leave(scene, &model, fd, release_first);
}

/* ---- the table ---- */

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

static void check_sizes(const struct scene *scene, struct row *row, unsigned *seed, size_t *count)
{
    for (int large = 0; large < 2; large++) {
        row->size = large ? LARGE : SMALL;
        row->pauses = !is_context(row, "connect data close") && next_random(seed) % 2;
        check_row(scene, row, next_random(seed) % 2);
        ++*count;
    }
}

static void check_context(const char *context)
{
    const char *dir = temp_dir_make();
    struct scene scene = {.endpoint = textf("unix:%s/x.sock", dir)};
    struct row row = {.context = context};
    unsigned seed = (unsigned)context[0];
    size_t count = 0;

    scene.rpd = RPD_START(textf("%s/run", dir), test_plugin("calls"), "-l", scene.endpoint);
    assert_bound(scene.rpd);
    scene.control = client(scene.endpoint);
    ask(scene.control, "state");
    const int fds = count_fds(process_pid(scene.rpd));
    for (size_t i = 0; all_calls[i]; i++) {
        row.calls[1] = '\0';
        row.calls[0] = all_calls[i];
        check_sizes(&scene, &row, &seed, &count);
        for (size_t j = 0; all_calls[j]; j++) {
            row.calls[1] = all_calls[j];
            row.calls[2] = '\0';
            check_sizes(&scene, &row, &seed, &count);
        }
    }
    for (size_t i = 0; i < RANDOM_ROWS; i++) {
        const unsigned length = 3 + next_random(&seed) % 3;
        for (unsigned j = 0; j < length; j++)
            row.calls[j] = all_calls[next_random(&seed) % 8];
        row.calls[length] = '\0';
        check_sizes(&scene, &row, &seed, &count);
    }
    const int64_t deadline = now_ns() + 10 * INT64_C(1000000000);
    while (count_fds(process_pid(scene.rpd)) > fds && now_ns() < deadline)
        poll(NULL, 0, 1);
    cr_assert_eq(count_fds(process_pid(scene.rpd)), fds);
    close(scene.control);
    assert_stops(scene.rpd);
    const char *text = process_stderr(scene.rpd);
    cr_assert(!strstr(text, "WRONG") && !strstr(text, "NOT BALANCED"), "%s", text);
    fprintf(stderr, "%s: %zu sequences\n", context, count);
    process_free(scene.rpd);
    temp_dir_remove(dir);
}

Test(calls, from_on_connect)
{
    check_context("connect");
}

Test(calls, from_on_data)
{
    check_context("data");
}

Test(calls, from_on_writable)
{
    check_context("writable");
}

Test(calls, from_on_close)
{
    check_context("close");
}

Test(calls, from_a_jobs_done)
{
    check_context("done");
}

Test(calls, from_a_timer)
{
    check_context("timer");
}

Test(calls, from_anothers_callback)
{
    check_context("other");
}
