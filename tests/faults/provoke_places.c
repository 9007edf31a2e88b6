/* Rows 55 to 57: another user in the run-time directory, observers in other namespaces, and calls
 * that a sandbox denies. rpdctl shows what observers see. */
#include "provoke.h"

#include "../integration/rpdctl_run.h"
#include "environments.h"
#include "other_user.h"

static struct outcome rpdctl_under(const struct stage *stage, const char *const *prefix,
                                   const char *const *words)
{
    const char *argv[32];
    size_t count = 0;

    while (*prefix)
        argv[count++] = *prefix++;
    argv[count++] = build_path("rpdctl");
    while (*words)
        argv[count++] = *words++;
    argv[count] = NULL;
    return outcome_of(process_start(
        &(struct process_options){.argv = argv,
                                  .runtime_dir = stage->run,
                                  .env = ARGS(textf("BOOT_ID=%s/boot_id", stage->dir))}));
}

#define RPDCTL_HERE(stage, ...) rpdctl_under((stage), ARGS(NULL), ARGS(__VA_ARGS__))

/* ---- row 55: another user writes there ----------------------------------------------------- */

struct forgery {
    const char *run, *endpoint;
    const char *kind;
    pid_t victim;
};

/* A service of another name, or the part of it that the variant names. */
static void forge(const void *arg)
{
    const struct forgery *forgery = arg;
    const bool is_whole = strcmp(forgery->kind, "service") == 0;
    struct rpd_state_page page = page_for(forgery->victim, RPD_PHASE_READY);

    page.turned_us += 3600u * 1000000u;
    if (is_whole || strcmp(forgery->kind, "lock") == 0)
        hold_lock(forgery->run, "forged");
    if (is_whole || strcmp(forgery->kind, "page") == 0)
        put_page(forgery->run, "forged", &page);
    if (is_whole || strcmp(forgery->kind, "record") == 0)
        put_record(forgery->run, "forged", forgery->victim,
                   textf(",\"endpoints\":[\"%s\"]", forgery->endpoint));
    if (is_whole || strcmp(forgery->kind, "history") == 0)
        put_history(forgery->run, "forged", forgery->victim, 1, 0, "forged-text");
}

static void assert_directory_refused(const struct stage *stage, const char *service)
{
    const struct outcome status = RPDCTL_HERE(stage, "status", service);
    const struct outcome stop = RPDCTL_HERE(stage, "stop", service, "--timeout", "1");
    const struct outcome ensure = RPDCTL_HERE(stage, "ensure", stage->config);

    assert_code(status, 1);
    assert_has(status.err, "chmod go-w");
    assert_code(stop, 1);
    assert_has(stop.err, "chmod go-w");
    assert_code(ensure, 77);
    assert_has(ensure.err, "chmod go-w");
}

void provoke_forgery(struct stage *stage, const char *variant)
{
    if (geteuid() != 0)
        cr_skip("only root can be another user");
    struct process *victim = process_start(&(struct process_options){.argv = ARGS("sleep", "600")});
    const struct forgery forgery = {.run = stage->run,
                                    .endpoint = textf("unix:%s/forged.sock", stage->run),
                                    .kind = last_word(variant),
                                    .victim = process_pid(victim)};

    cr_assert_eq(chmod(stage->dir, 0711), 0);
    cr_assert_eq(chmod(stage->run, 01777), 0);
    const pid_t attacker = stay_as_user(OTHER_USER, forge, &forgery);
    assert_directory_refused(stage, "forged");
    assert_directory_refused(stage, "faulty");
    /* The mode is corrected; the forged files are still there. */
    cr_assert_eq(chmod(stage->run, 0700), 0);
    const struct outcome status = RPDCTL_HERE(stage, "status", "forged");
    const struct outcome stop = RPDCTL_HERE(stage, "stop", "forged", "--timeout", "1");
    assert_code(status, 1);
    assert_has(status.out, "state:     dead");
    assert_has_not(status.out, "forged.sock");
    assert_has_not(status.out, "forged-text");
    assert_code(stop, 0);
    assert_has(stop.out, "not running");
    cr_assert(process_alive(victim), "a process of the attacker's choice was ended");
    /* Alive; or already stalled, if the loop is held in the plugin's code and rpdctl is slow. */
    const struct outcome own = RPDCTL_HERE(stage, "status", "faulty");
    assert_has(own.out, textf("pid:       %d,", process_pid(stage->rpd)));
    if (!is_slow())
        assert_code(own, 0);
    end_user_process(attacker);
    process_free(victim);
    for (const char *const *name = ARGS("lock", "state", "json", "history"); *name; name++)
        unlink(textf("%s/forged.%s", stage->run, *name));
}

/* ---- row 56: seen from elsewhere ------------------------------------------------------------ */

static const char *const pid_namespace[] = {PID_NAMESPACE, NULL};
static const char *const time_namespace[] = {TIME_NAMESPACE, NULL};
static const char *const user_namespace[] = {USER_NAMESPACE, NULL};
static const char *const mount_namespace[] = {MOUNT_NAMESPACE, NULL};
static const char *const other_boot_id[] = {OTHER_BOOT_ID, NULL};
static const char *const without_proc[] = {WITHOUT_PROC, NULL};

static const struct environment {
    const char *name;
    const char *const *prefix;
    bool hides_process;
} environments[] = {
    {"pid", pid_namespace, true},     {"time", time_namespace, true},
    {"user", user_namespace, false},  {"mount", mount_namespace, false},
    {"boot-id", other_boot_id, true}, {"no-proc", without_proc, true},
};

static const struct environment *environment_of(const char *variant)
{
    for (size_t i = 0; i < sizeof environments / sizeof *environments; i++)
        if (strcmp(environments[i].name, last_word(variant)) == 0)
            return &environments[i];
    test_die("no environment %s", variant);
}

/* No observer that sees the service starts another: ensure ends with 0 while it takes clients. */
static void ensure_from_elsewhere(const struct stage *stage, const struct environment *environment)
{
    if (stage->phase == DRAINING || environment->prefix == without_proc)
        return; /* ensure would wait for the end; without /proc it finds no rpd beside itself */
    const struct outcome ensure = rpdctl_under(stage, environment->prefix,
                                               ARGS("ensure", stage->config));

    assert_code(ensure, 0);
    assert_has(ensure.out, stage->endpoint);
}

void provoke_elsewhere(struct stage *stage, const char *variant)
{
    static const char *const usual[PHASES] = {"warming", "alive", "draining"};
    static const char *const page_phases[PHASES] = {"phase warming", "phase ready",
                                                    "phase draining"};
    const struct environment *environment = environment_of(variant);
    const char *history_path = textf("%s/faulty.history", stage->run);

    if (geteuid() != 0)
        cr_skip("only root can make all of these namespaces");
    if (environment->prefix == without_proc && is_sanitized())
        cr_skip("a sanitizer's runtime needs /proc");
    if (stage->phase == DRAINING)
        stage_wait_page(stage, phase, RPD_PHASE_DRAINING);
    const char *history = file_read(history_path);
    const struct outcome status = rpdctl_under(stage, environment->prefix,
                                               ARGS("status", "faulty"));
    assert_code(status, 0);
    assert_has(status.out,
               textf("state:     %s\n",
                     environment->hides_process ? "alive, elsewhere" : usual[stage->phase]));
    ensure_from_elsewhere(stage, environment);
    if (environment->hides_process) {
        assert_has(status.out, page_phases[stage->phase]);
        const struct outcome wait = rpdctl_under(
            stage, environment->prefix, ARGS("wait", "faulty", "--stopped", "--timeout", "0.2"));
        const struct outcome stop = rpdctl_under(
            stage, environment->prefix, ARGS("stop", "faulty", "--all", "--timeout", "0.2"));
        assert_code(wait, 1);
        assert_has(wait.err, "it is alive, elsewhere");
        assert_code(stop, 1);
        assert_has(stop.err, "stop it from there");
    }
    cr_assert_str_eq(file_read(history_path), history, "an observer wrote to it");
    unlink(textf("%s/boot_id", stage->dir));
}

/* ---- row 57: denied calls ------------------------------------------------------------------- */

/* The daemon is denied the call from its start on (setup.denied), and so is rpdctl. */
void provoke_denied(struct stage *stage, const char *variant)
{
    const char *const prefix[] = {RPD_BUILD_DIR "/tests/support/deny", "EPERM", last_word(variant),
                                  NULL};
    const struct outcome status = rpdctl_under(stage, prefix, ARGS("status", "faulty"));
    const char *lock = textf("%s/faulty.lock", stage->run);

    assert_code(status, 0);
    assert_has_not(status.out, "elsewhere");
    if (stage->phase == DRAINING)
        return;
    const int64_t began = now_ns();
    cr_assert_eq(unlink(lock), 0);
    while (access(lock, F_OK) != 0) {
        cr_assert_lt(now_ns() - began, stage_patience_ns(), "%s", process_stderr(stage->rpd));
        stage_rest();
    }
}
