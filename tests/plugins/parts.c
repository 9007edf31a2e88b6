/* A state that is loaded in parts; their number is an option. Each part is a number, and the state
 * adds them up. Parts finish in the reverse of the order in which they were added, so that attach
 * runs in a different order.
 *
 * on_data answers "COUNT SUM FIRST" to each line. Events are written to stderr, in lines that begin
 * with "test: ". */
#include <rpd/backend.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("parts", 100, 0, 100000, "how many parts"),
    RPD_OPTION_INTEGER("failing", -1, -1, 100000, "the part that fails"),
    RPD_OPTION_INTEGER("failures", 1, 0, 1000, "how often it fails"),
    RPD_OPTION_INTEGER("hanging", -1, -1, 100000, "the part that waits until it is cancelled"),
    RPD_OPTION_BOOLEAN("reverse", 0, "whether the first part ends after the second"),
    RPD_OPTIONS_END,
};

struct state {
    long count, sum, first;
};

struct part {
    long number;
};

static atomic_int failed, live_states, live_parts;
static atomic_bool second_is_loaded;

static void tell(const char *text)
{
    char line[160];
    const int size = snprintf(line, sizeof line, "test: %s; states %d, parts %d\n", text,
                              atomic_load(&live_states), atomic_load(&live_parts));

    if (write(STDERR_FILENO, line, (size_t)size) < 0)
        return;
}

static void *load_part(struct rpd_load *load)
{
    const struct rpd_service *service = rpd_load_service(load);
    const long number = (long)(intptr_t)rpd_load_arg(load) - 1;
    struct part *part;

    if (number == rpd_option_integer(service, "failing") &&
        atomic_fetch_add(&failed, 1) < rpd_option_integer(service, "failures"))
        return rpd_load_fail(load, "part %ld is broken; fix it", number);
    if (number == rpd_option_integer(service, "hanging")) {
        tell("a part hangs");
        while (rpd_load_wait(load, 60000))
            continue;
        return NULL;
    }
    while (rpd_option_boolean(service, "reverse") && number == 0 && !atomic_load(&second_is_loaded))
        if (!rpd_load_wait(load, 1))
            return NULL;
    if (rpd_load_add_part(load, &(struct rpd_load_part){.load = load_part}) == 0)
        tell("WRONG: a part could add a part");
    part = malloc(sizeof *part);
    part->number = number;
    atomic_fetch_add(&live_parts, 1);
    return part;
}

static void attach(void *state_, void *part_)
{
    struct state *state = state_;
    struct part *part = part_;

    if (state->count++ == 0)
        state->first = part->number;
    state->sum += part->number;
    if (part->number == 1)
        atomic_store(&second_is_loaded, true);
    free(part);
    atomic_fetch_sub(&live_parts, 1);
}

static void discard(void *part)
{
    free(part);
    atomic_fetch_sub(&live_parts, 1);
}

static void *load(struct rpd_load *load)
{
    const int64_t parts = rpd_option_integer(rpd_load_service(load), "parts");
    struct state *state = calloc(1, sizeof *state);

    atomic_fetch_add(&live_states, 1);
    if (rpd_load_arg(load))
        tell("WRONG: load has an arg");
    for (int64_t i = 0; i < parts; i++) {
        char name[32];

        snprintf(name, sizeof name, "part-%lld", (long long)i);
        if (rpd_load_add_part(load, &(struct rpd_load_part){.name = name,
                                                            .load = load_part,
                                                            .attach = attach,
                                                            .discard = discard,
                                                            .arg = (void *)(intptr_t)(i + 1)}) < 0)
            tell("WRONG: a part was refused");
    }
    return state;
}

static void unload(void *state)
{
    free(state);
    atomic_fetch_sub(&live_states, 1);
    tell("unloaded");
}

static void on_ready(struct rpd_service *service, void *state_)
{
    const struct state *state = state_;
    char text[80];

    if (rpd_service_state(service) != state)
        tell("WRONG: another state");
    snprintf(text, sizeof text, "ready with %ld", state->count);
    tell(text);
}

static void on_data(struct rpd_conn *conn, void *state_)
{
    const struct state *state = state_;
    struct rpd_span line;

    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "%ld %ld %ld\n", state->count, state->sum, state->first);
}

RPD_BACKEND(parts, .summary = "Loads in parts", .options = options, .load = load, .unload = unload,
            .on_ready = on_ready, .on_data = on_data);
