/* The daemon that rpdctl check starts where a backend's load or serve must be
 * wrapped: all of rpd, in rpdctl's own program. It is run as
 *
 *     rpdctl check-daemon WRAP ARGUMENT-OF-RPD...
 *
 * The hook of plugin_load() puts a load or serve of the kit's own into the copy of the
 * descriptor. One process has one service here, so what was there before is kept in one
 * place. */
#include "plugin/plugin.h"
#include "rpdctl/check/checks.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"

#include <rpd/main.h>

#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { SERVE_LATE_MS = 300, STEP_MS = 10 };

static struct {
    const char *wrap;
    struct rpd_backend inner;
    atomic_int runs;
} kit;

/* ---- load ----------------------------------------------------------------------------- */

static void *load_slowly(struct rpd_load *load)
{
    for (unsigned done = 0; done < LOAD_SLOW_MS; done += STEP_MS) {
        rpd_load_progress(load, done, LOAD_SLOW_MS, "ms");
        if (!rpd_load_wait(load, STEP_MS))
            return NULL;
    }
    return kit.inner.load(load);
}

/* The cancel comes first, so that the backend's load meets it whenever it looks. */
static void *load_when_cancelled(struct rpd_load *load)
{
    while (rpd_load_wait(load, 60000))
        continue;
    return kit.inner.load(load);
}

/* What was loaded is freed, as it will not be used. */
static void *fail(struct rpd_load *load)
{
    void *state = kit.inner.load(load);

    if (state && kit.inner.unload)
        kit.inner.unload(state);
    return rpd_load_fail(load, "rpdctl check wants it to fail");
}

static void *load_and_fail(struct rpd_load *load)
{
    return fail(load);
}

static void *load_and_fail_once(struct rpd_load *load)
{
    return atomic_fetch_add(&kit.runs, 1) == 0 ? fail(load) : kit.inner.load(load);
}

/* ---- serve ---------------------------------------------------------------------------- */

static int serve_late(struct rpd_service *service, struct rpd_listener *listener)
{
    nanosleep(&(const struct timespec){.tv_nsec = SERVE_LATE_MS * 1000000L}, NULL);
    return kit.inner.serve ? kit.inner.serve(service, listener)
                           : rpd_serve_connections(service, listener);
}

/* ---- wrapping ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    rpd_load_fn load;
    int (*serve)(struct rpd_service *service, struct rpd_listener *listener);
} wraps[] = {
    {.name = "load-slow", .load = load_slowly},
    {.name = "load-cancelled", .load = load_when_cancelled},
    {.name = "load-fails", .load = load_and_fail},
    {.name = "load-fails-once", .load = load_and_fail_once},
    {.name = "serve-late", .serve = serve_late},
};

static void wrap(struct plugin *plugin)
{
    kit.inner = plugin->backend;
    for (size_t i = 0; i < sizeof wraps / sizeof *wraps; i++) {
        if (strcmp(wraps[i].name, kit.wrap) != 0)
            continue;
        if (wraps[i].load && plugin->backend.load)
            plugin->backend.load = wraps[i].load;
        if (wraps[i].serve)
            plugin->backend.serve = wraps[i].serve;
    }
}

static int run(int argc, char **argv)
{
    if (argc < 2)
        return rpdctl_refuse("", "%s is for rpdctl itself", argv[0]);
    kit.wrap = argv[1];
    plugin_set_loaded_hook(wrap);
    return rpd_main(argc - 1, argv + 1);
}

const struct rpdctl_command rpdctl_check_daemon = {.name = "check-daemon", .help = "", .run = run};
