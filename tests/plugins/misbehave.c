/* A backend that misbehaves in a given place:
 *
 *     TEST_CONSTRUCTOR=ACT     in its constructor
 *     -o serve=ACT             in serve; also: fail, fail_silently, no_attach
 *     -o load=ACT              in load, on a worker; also: fail, null, forever
 *     "ACT\n" from a client    in on_data; other lines are echoed
 *
 * For the ACTs see acts.h. */
#include <rpd/backend.h>

#include "acts.h"

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("serve", "", "what serve does"),
    RPD_OPTION_STRING("load", "", "what load does"),
    RPD_OPTION_INTEGER("number", 1, 0, 10, "nothing"),
    RPD_OPTION_BOOLEAN("unknown_option", 0, "whether serve asks for one that is not here"),
    RPD_OPTIONS_END,
};

static char state_of_all;

__attribute__((constructor)) static void constructor(void)
{
    act("constructor", getenv("TEST_CONSTRUCTOR"));
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    const char *what = rpd_option_string(service, "serve");

    if (rpd_option_boolean(service, "unknown_option"))
        rpd_option_string(service, "bogus");
    if (getenv("NOTIFY_SOCKET") || getenv("LISTEN_FDS") || getenv("LISTEN_PID"))
        say("test: the environment was not cleaned\n");
    if (strcmp(what, "fail") == 0)
        return rpd_serve_fail(service, "the test wants it; do not ask for it");
    if (strcmp(what, "fail_silently") == 0)
        return -1;
    if (strcmp(what, "no_attach") == 0)
        return 0;
    act("serve", what);
    return rpd_serve_connections(service, listener);
}

static void *load(struct rpd_load *load)
{
    const char *what = rpd_option_string(rpd_load_service(load), "load");

    if (strcmp(what, "fail") == 0)
        return rpd_load_fail(load, "the test wants it; do not ask for it");
    if (strcmp(what, "null") == 0)
        return NULL;
    if (strcmp(what, "forever") == 0) {
        say("test: loads\n");
        while (rpd_load_wait(load, 1000))
            continue;
        say("test: load cancelled\n");
        return NULL;
    }
    act("load", what);
    return &state_of_all;
}

static void unload(void *state)
{
    if (state == &state_of_all)
        say("test: unloaded\n");
}

static void run_forever(struct rpd_job *job, void *arg)
{
    (void)job, (void)arg;
    say("test: a job hangs\n");
    for (;;)
        pause();
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    (void)service, (void)arg, (void)cancelled;
}

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    struct rpd_span line;

    while (rpd_conn_read_line(conn, &line)) {
        char text[256];

        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
        if (strcmp(text, "hang_job") == 0)
            rpd_conn_printf(conn, "%d\n",
                            rpd_job_submit(rpd_conn_service(conn), run_forever, done, NULL));
        else
            rpd_conn_printf(conn, "%s\n", text);
        act("on_data", text);
    }
}

RPD_BACKEND(misbehave, .summary = "Misbehaves where it is told to", .options = options,
            .serve = serve, .load = load, .unload = unload, .on_data = on_data);
