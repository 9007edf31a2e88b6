/* The load from outside: parts, progress, the effect of a failure or of missing progress, the
 * messages to the service manager, and the end of the load at a stop. */
#include "warm_scene.h"

#include <criterion/parameterized.h>

static struct warm warm_of(const char *service, const char *options)
{
    return bound_warm(&(struct warm_start){.service = service, .options = options});
}

static const struct rpd_state_part *part_named(const struct rpd_state_page *page, const char *name)
{
    static const struct rpd_state_part none = {.state = 99};

    for (uint32_t i = 0; i < page->part_count; i++)
        if (strcmp(page->parts[i].name, name) == 0)
            return &page->parts[i];
    return &none;
}

static bool part_is(const struct rpd_state_part *part, enum rpd_part_state state)
{
    return part->state == (uint32_t)state;
}

static void wait_part(const struct warm *warm, const char *name, enum rpd_part_state state)
{
    wait_page(warm, part_is(part_named(&page, name), state));
}

/* The part as it is now. */
static struct rpd_state_part part_of(const struct warm *warm, const char *name)
{
    const struct rpd_state_page page = page_of(warm);

    return *part_named(&page, name);
}

/* ---- parts ---------------------------------------------------------------------- */

/* As many parts at a time as there are workers, and no more. */
Test(parts, load_in_parallel)
{
    struct warm warm = bound_warm(
        &(struct warm_start){.top = "\"workers\":3,", .options = "\"parts\":4,"});

    open_gate(&warm, "load");
    for (int i = 0; i < 3; i++)
        wait_part(&warm, textf("part-%d", i), RPD_PART_LOADING);
    cr_assert_eq(part_of(&warm, "part-3").state, RPD_PART_WAITING);
    cr_assert_eq(part_of(&warm, "load").state, RPD_PART_LOADED);
    cr_assert_eq(page_of(&warm).part_count, 5);
    open_gate(&warm, "part-1");
    wait_part(&warm, "part-1", RPD_PART_LOADED);
    wait_part(&warm, "part-3", RPD_PART_LOADING);
    for (int i = 0; i < 4; i++)
        open_gate(&warm, textf("part-%d", i));
    assert_line(warm.rpd, ": ready (");
    assert_text(ask_once(warm.endpoint, "a"), "1 a 4", warm.rpd);
    wait_page(&warm, page.parts_loaded == 5 && page.load_permille == 1000 && page.load_eta_ms == 0);
    end_warm(&warm);
}

Test(parts, are_used_at_once)
{
    struct warm warm = warm_of("\"warmup\":\"serve\",", "\"parts\":2,");
    const int fd = client_of(warm.endpoint);

    assert_text(ask(fd, "a"), "1 a cold", warm.rpd);
    open_gate(&warm, "load");
    assert_line(warm.rpd, "part-0 begins");
    assert_text(ask(fd, "b"), "1 b 0", warm.rpd);
    open_gate(&warm, "part-1");
    assert_line(warm.rpd, "part-1 attached");
    assert_text(ask(fd, "c"), "1 c 1", warm.rpd);
    cr_assert_eq(page_of(&warm).phase, RPD_PHASE_WARMING);
    open_gate(&warm, "part-0");
    assert_line(warm.rpd, ": ready (");
    assert_text(ask(fd, "d"), "1 d 2", warm.rpd);
    close(fd);
    end_warm(&warm);
}

Test(parts, ready_does_not_wait_for_an_optional_one)
{
    struct warm warm = warm_of("", "\"parts\":3,\"optional\":1,");
    const int fd = client_of(warm.endpoint);

    open_gate(&warm, "load");
    open_gate(&warm, "part-0");
    assert_line(warm.rpd, "part-0 attached");
    cr_assert_eq(page_of(&warm).phase, RPD_PHASE_WARMING);
    open_gate(&warm, "part-2");
    assert_line(warm.rpd, ": ready (");
    assert_text(ask(fd, "a"), "1 a 2", warm.rpd);
    cr_assert_eq(part_of(&warm, "part-1").flags, RPD_PART_OPTIONAL);
    cr_assert_eq(part_of(&warm, "part-2").flags, 0);
    cr_assert_eq(part_of(&warm, "part-1").state, RPD_PART_LOADING);
    cr_assert_eq(page_of(&warm).flags, 0);
    open_gate(&warm, "part-1");
    wait_part(&warm, "part-1", RPD_PART_LOADED);
    assert_line(warm.rpd, "part-1 attached");
    assert_text(ask(fd, "b"), "1 b 3", warm.rpd);
    wait_page(&warm, page.parts_loaded == 4);
    close(fd);
    end_warm(&warm);
}

/* 100 steps of 200, at 20 ms each: 50 per second, and as much time again to go. */
Test(parts, are_shown_with_rate_and_eta)
{
    struct warm warm = warm_of("", "\"steps\":100,\"step_ms\":20,");

    wait_page(&warm,
              page.part_count == 1 && page.parts[0].done >= 60 && page.parts[0].rate_per_1000s > 0);
    const struct rpd_state_page seen = page_of(&warm);
    const struct rpd_state_part *part = &seen.parts[0];
    cr_log_info("%llu of %llu %s, %.1f a second, %.1f s left; in all %u of 1000, %.1f s left",
                (unsigned long long)part->done, (unsigned long long)part->total, part->unit,
                (double)part->rate_per_1000s / 1e3, (double)part->eta_ms / 1e3, seen.load_permille,
                (double)seen.load_eta_ms / 1e3);
    cr_assert_str_eq(part->name, "load");
    cr_assert_str_eq(part->unit, "keys");
    cr_assert_eq(part->total, 200);
    cr_assert_eq(part->attempts, 1);
    cr_assert_eq(part->state, RPD_PART_LOADING);
    cr_assert(part->done >= 60 && part->done <= 100);
    /* A busy machine is slower; no machine is faster. */
    cr_assert(part->rate_per_1000s > 5000 && part->rate_per_1000s < 60000, "%llu",
              (unsigned long long)part->rate_per_1000s);
    const double left_ms = (double)(200 - part->done) * 1e6 / (double)part->rate_per_1000s;
    cr_assert(left_ms > (double)part->eta_ms * 0.7 && left_ms < (double)part->eta_ms * 1.4 + 500,
              "%f, %llu", left_ms, (unsigned long long)part->eta_ms);
    cr_assert(seen.load_permille >= 200 && seen.load_permille <= 500, "%u", seen.load_permille);
    cr_assert(seen.load_eta_ms > 1000 && seen.load_eta_ms < 20000, "%llu",
              (unsigned long long)seen.load_eta_ms);
    cr_assert_leq(part->moved_us, (uint64_t)now_ns() / 1000);
    cr_assert_lt((uint64_t)now_ns() / 1000 - part->moved_us, 3000000);
    make_ready(&warm);
    wait_page(&warm, page.parts[0].state == RPD_PART_LOADED && page.load_permille == 1000);
    end_warm(&warm);
}

/* ---- failure ----------------------------------------------------------------------- */

static const struct failure {
    const char *on_failure, *options;
    const char *lines[3]; /* the lines that the log must have */
    const char *answer;   /* the answer to a client held meanwhile; NULL: the end, and code 69 */
    const char *run;      /* the run to look up in the page */
    uint32_t attempts;
    bool degraded;
} failures[] = {
    /* clang-format off */
    {"retry", "\"failing\":\"load\",\"failures\":2,",
     {"load failed: load is broken; fix it; trying again in 1 s", "trying again in 2 s"},
     "1 a 0", "load", 3, false},
    {"retry", "\"parts\":2,\"failing\":\"part-1\",\"failures\":2,",
     {"load failed: part-1: part-1 is broken; fix it; trying again in 1 s", "trying again in 2 s"},
     "1 a 2", "part-1", 3, false},
    {"degraded", "\"failing\":\"load\",",
     {"load failed: load is broken; fix it; going on without it", "ready, degraded: not all"},
     "1 a cold", "load", 1, true},
    {"degraded", "\"parts\":2,\"failing\":\"part-1\",",
     {"load failed: part-1: part-1 is broken; fix it; going on", "ready, degraded: not all"},
     "1 a 1", "part-1", 1, true},
    {"exit", "\"failing\":\"load\",\"fails_at_gate\":true,", /* the waiting clients come first */
     {"rpd: load: warm: load is broken; fix it", "stopping: a service cannot go on"},
     NULL, NULL, 0, false},
    {"exit", "\"parts\":2,\"failing\":\"part-1\",",
     {"rpd: load: warm: part-1: part-1 is broken; fix it", "stopping: a service cannot go on"},
     NULL, NULL, 0, false},
    /* For an optional part, whatever the backend declares. */
    {"exit", "\"parts\":2,\"optional\":1,\"failing\":\"part-1\",",
     {"load failed: part-1: part-1 is broken; fix it; going on without it"},
     "1 a 1", "part-1", 1, true},
    {"retry", "\"parts\":2,\"optional\":1,\"failing\":\"part-1\",",
     {"load failed: part-1: part-1 is broken; fix it; trying again in 1 s"},
     NULL, NULL, 0, false}, /* see below */
    /* clang-format on */
};
enum { FAILURES = sizeof failures / sizeof *failures, OPTIONAL_RETRY = FAILURES - 1 };

static void open_all(const struct warm *warm)
{
    static const char *const gates[] = {"load", "part-0", "part-1"};

    for (size_t i = 0; i < 3; i++)
        open_gate(warm, gates[i]);
}

static void assert_said(const struct warm *warm, const char *const *lines)
{
    for (; *lines; lines++)
        assert_line(warm->rpd, *lines);
}

static void check_failure(const struct failure *failure)
{
    struct warm warm = warm_of(textf("\"on_load_failure\":\"%s\",", failure->on_failure),
                               failure->options);
    const int fd = client_of(warm.endpoint), silent = client_of(warm.tcp);

    say(fd, "a\n");
    open_all(&warm);
    if (!failure->answer) {
        assert_same(rest_of(fd), "", &warm);
        assert_same(rest_of(silent), "", &warm);
        close(fd), close(silent);
        assert_said(&warm, failure->lines);
        end_warm_with(&warm, 69);
        return;
    }
    assert_same(line_of(fd), textf("%s\n", failure->answer), &warm);
    assert_said(&warm, failure->lines);
    wait_page(&warm, page.flags == (failure->degraded ? RPD_STATE_DEGRADED : 0));
    const struct rpd_state_page seen = page_of(&warm);
    const struct rpd_state_part *part = part_named(&seen, failure->run);
    cr_assert_eq(part->attempts, failure->attempts, "%u attempts", part->attempts);
    cr_assert_eq(part->state, failure->degraded ? RPD_PART_FAILED : RPD_PART_LOADED);
    cr_assert(seen.errors >= (failure->degraded ? 1 : 2) && strstr(seen.error, "is broken"), "%s",
              seen.error);
    close(fd), close(silent);
    end_warm(&warm);
}

ParameterizedTestParameters(failure, declared)
{
    static size_t at[FAILURES - 1];

    for (size_t i = 0; i < FAILURES - 1; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, FAILURES - 1);
}

ParameterizedTest(size_t *at, failure, declared)
{
    check_failure(&failures[*at]);
}

/* READY does not wait for it; it is retried on its own. */
Test(failure, an_optional_part_is_tried_again_after_ready)
{
    struct warm warm = warm_of("\"on_load_failure\":\"retry\",", failures[OPTIONAL_RETRY].options);

    open_all(&warm);
    assert_line(warm.rpd, ": ready (");
    assert_said(&warm, failures[OPTIONAL_RETRY].lines);
    wait_part(&warm, "part-1", RPD_PART_PAUSED);
    assert_line(warm.rpd, "part-1 attached");
    assert_text(ask_once(warm.endpoint, "a"), "1 a 2", warm.rpd);
    cr_assert_eq(page_of(&warm).flags, 0);
    end_warm(&warm);
}

/* One part fails while another is being loaded: the stop must free both. */
Test(failure, of_one_part_while_another_loads)
{
    struct warm warm = warm_of("", "\"parts\":3,\"failing\":\"part-1\",");

    open_gate(&warm, "part-2");
    open_gate(&warm, "load");
    end_warm_with(&warm, 69);
}

/* ---- no progress --------------------------------------------------------------------- */

static const char *limited(const char *on_failure)
{
    return textf("\"no_progress_s\":1,\"on_load_failure\":\"%s\",", on_failure);
}

static const char stalls[] = "\"parts\":2,\"hanging\":\"part-1\",";

static void assert_stall_line(const struct warm *warm, const char *function)
{
    assert_line(warm->rpd, "warm.so): no progress for 1 s; its worker is in ");
    const char *text = process_stderr(warm->rpd);
    cr_assert(strstr(text, "load: part-1 ("), "%s", text);
    if (!strstr(build_path(""), "tsan"))
        cr_assert(strstr(text, function), "no %s in %s", function, text);
}

Test(no_progress, that_heeds_is_tried_again)
{
    struct warm warm = warm_of(limited("retry"), textf("%s\"hangs\":1,", stalls));

    open_all(&warm);
    assert_stall_line(&warm, "heed_and_hang+0x");
    assert_line(warm.rpd, "load failed: part-1: no progress for 1 s; trying again in 1 s");
    assert_line(warm.rpd, ": ready (");
    cr_assert_eq(part_of(&warm, "part-1").attempts, 2);
    assert_text(ask_once(warm.endpoint, "a"), "1 a 2", warm.rpd);
    end_warm(&warm);
}

Test(no_progress, that_heeds_is_done_without)
{
    struct warm warm = warm_of(limited("degraded"), stalls);
    const int fd = client_of(warm.endpoint);

    open_all(&warm);
    assert_stall_line(&warm, "heed_and_hang+0x");
    assert_line(warm.rpd, "load failed: part-1: no progress for 1 s; going on without it");
    assert_text(ask(fd, "a"), "1 a 1", warm.rpd);
    close(fd);
    end_warm(&warm);
}

Test(no_progress, that_heeds_ends_the_process)
{
    struct warm warm = warm_of(limited("exit"), stalls);
    const int fd = client_of(warm.endpoint);

    open_all(&warm);
    assert_stall_line(&warm, "heed_and_hang+0x");
    assert_same(rest_of(fd), "", &warm);
    assert_line(warm.rpd, "rpd: load: warm: part-1: no progress for 1 s");
    close(fd);
    end_warm_with(&warm, 69);
}

/* Its worker is lost; the service continues without this part. */
Test(no_progress, that_does_not_heed_is_given_up)
{
    struct warm warm = warm_of(limited("degraded"), textf("%s\"how\":\"ignore\",", stalls));
    const int fd = client_of(warm.endpoint);

    open_all(&warm);
    say(fd, "a\n");
    assert_stall_line(&warm, "sleep_for_ever+0x");
    wait_part(&warm, "part-1", RPD_PART_STALLED);
    assert_line(warm.rpd, "part-1: no progress, and it does not return when cancelled; it should "
                          "look at rpd_load_cancelled(); going on without it");
    assert_same(line_of(fd), "1 a 1\n", &warm);
    close(fd);
    process_signal(warm.rpd, SIGKILL);
    process_wait_exit(warm.rpd);
}

/* Likewise where it would be retried: its worker does not come back. */
Test(no_progress, that_does_not_heed_ends_the_process)
{
    struct warm warm = bound_warm(
        &(struct warm_start){.top = "\"drain_s\":0,",
                             .service = limited("retry"),
                             .options = "\"parts\":2,\"hanging\":\"part-1\",\"how\":\"ignore\","});
    const int fd = client_of(warm.endpoint);

    open_all(&warm);
    assert_stall_line(&warm, "sleep_for_ever+0x");
    assert_line(warm.rpd, "rpd: load: warm: part-1: no progress, and it does not return when");
    assert_same(rest_of(fd), "", &warm);
    assert_ends(warm.rpd, 69);
    assert_line(warm.rpd, "rpd: stop: drain: not over one second after drain_s had passed");
    assert_clean(&warm);
    close(fd);
}

static void check_unlimited(const char *how)
{
    struct warm warm = warm_of(limited("exit"), textf("%s\"how\":\"%s\",", stalls, how));

    open_gate(&warm, "load");
    open_gate(&warm, "part-0");
    assert_line(warm.rpd, "test: hangs");
    pass_ms(2600);
    cr_assert_eq(part_of(&warm, "part-1").state, RPD_PART_LOADING);
    open_gate(&warm, "part-1");
    assert_line(warm.rpd, ": ready (");
    cr_assert_null(strstr(process_stderr(warm.rpd), "no progress"), "%s", process_stderr(warm.rpd));
    end_warm(&warm);
}

Test(no_progress, is_not_that_of_one_that_works)
{
    check_unlimited("spin");
}

Test(no_progress, is_not_that_of_one_that_reports)
{
    check_unlimited("report");
}

/* It has reported once, so its use of the processor does not count as progress. */
Test(no_progress, of_one_that_reported_before)
{
    struct warm warm = warm_of(limited("exit"), "\"steps\":5,");

    assert_line(warm.rpd, "load: load (");
    assert_line(warm.rpd, "rpd: load: warm: no progress for 1 s");
    end_warm_with(&warm, 69);
}

/* It stops making progress at its gate; of more than four seconds it runs for one. */
Test(no_progress, is_not_that_of_a_stopped_process)
{
    struct warm warm = warm_of("\"no_progress_s\":3,", "\"steps\":1,");

    wait_page(&warm, page.part_count == 1 && page.parts[0].done == 1);
    for (int i = 0; i < 4; i++) {
        const uint64_t turns = page_of(&warm).turns;
        process_signal(warm.rpd, SIGSTOP);
        pass_ms(1100);
        process_signal(warm.rpd, SIGCONT);
        wait_page(&warm, page.turns > turns);
    }
    make_ready(&warm);
    cr_assert_null(strstr(process_stderr(warm.rpd), "no progress"), "%s", process_stderr(warm.rpd));
    end_warm(&warm);
}

/* ---- messages to the manager ----------------------------------------------------------- */

struct told {
    size_t extends, statuses;
    const char *all;
};

static int manager_of(const char *path)
{
    const int fd = listen_at(path, SOCK_DGRAM, -1);

    cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
    return fd;
}

/* All messages until one with this text, or for this long. */
static struct told hear(int manager, const char *until, int ms)
{
    const int64_t end = now_ns() + (until ? patience_ns() : ms * NS_PER_MS);
    struct told told = {.all = ""};
    char message[1024];

    for (int64_t left; (left = end - now_ns()) > 0;) {
        struct pollfd fd = {.fd = manager, .events = POLLIN};
        if (poll(&fd, 1, (int)(left / NS_PER_MS) + 1) < 1)
            continue;
        const ssize_t got = recv(manager, message, sizeof message - 1, 0);
        message[got > 0 ? got : 0] = '\0';
        told.extends += strncmp(message, "EXTEND_TIMEOUT_USEC=", 20) == 0;
        told.statuses += strncmp(message, "STATUS=", 7) == 0;
        told.all = textf("%s%s|", told.all, message);
        if (until && strstr(message, until))
            return told;
    }
    cr_assert(!until, "no %s in %s", until, told.all);
    return told;
}

/* It makes progress for 3 s up to 50 %, then stops at its gate. */
static struct warm told_warm(int *ret_manager, const char *notify)
{
    const char *path = textf("%s/notify", temp_dir_make());

    *ret_manager = manager_of(path);
    return bound_warm(&(struct warm_start){.top = textf("\"notify\":\"%s\",\"drain_s\":3,", notify),
                                           .options = "\"steps\":150,\"step_ms\":20,",
                                           .manager = path});
}

Test(manager, is_told_while_it_moves_and_not_while_it_stands_still)
{
    int manager;
    struct warm warm = told_warm(&manager, "ready");

    wait_page(&warm, page.part_count == 1 && page.parts[0].done == 150);
    struct told moving = hear(manager, NULL, 400); /* the last updates of it */
    cr_assert_geq(moving.extends, 2, "%s", moving.all);
    cr_assert_leq(moving.extends, 6, "%s", moving.all);
    cr_assert(strstr(moving.all, "EXTEND_TIMEOUT_USEC=315000000|"), "%s", moving.all);
    cr_assert(strstr(moving.all, "STATUS=bound, loading warm: ") &&
                  strstr(moving.all, " %, about ") && strstr(moving.all, " s left|"),
              "%s", moving.all);
    cr_assert_null(strstr(moving.all, "READY=1"), "%s", moving.all);
    hear(manager, NULL, 1200); /* the progress since the last report */
    struct told still = hear(manager, NULL, 1500);
    cr_assert_eq(still.extends, 0, "%s", still.all);
    open_gate(&warm, "load");
    struct told ready = hear(manager, "READY=1", 0);
    cr_assert(strstr(ready.all, "STATUS=ready|"), "%s", ready.all);
    assert_line(warm.rpd, ": ready (");
    process_signal(warm.rpd, SIGTERM);
    struct told stop = hear(manager, "STATUS=draining", 0);
    cr_assert(strstr(stop.all, "STOPPING=1|") && strstr(stop.all, "EXTEND_TIMEOUT_USEC=4000000|"),
              "%s", stop.all);
    close(manager);
    end_warm_with(&warm, 0);
}

/* If READY=1 was sent at bound, there is no time-out to extend. */
Test(manager, is_only_told_the_status_where_bound_is_enough)
{
    int manager;
    struct warm warm = told_warm(&manager, "bound");

    cr_assert(strstr(hear(manager, "READY=1", 0).all, "READY=1"));
    wait_page(&warm, page.part_count == 1 && page.parts[0].done >= 110);
    struct told moving = hear(manager, NULL, 100);
    cr_assert_eq(moving.extends, 0, "%s", moving.all);
    cr_assert_geq(moving.statuses, 1, "%s", moving.all);
    make_ready(&warm);
    hear(manager, "STATUS=ready", 0);
    close(manager);
    end_warm(&warm);
}

Test(manager, is_told_of_a_degraded_service)
{
    const char *path = textf("%s/notify", temp_dir_make());
    const int manager = manager_of(path);
    struct warm warm = bound_warm(
        &(struct warm_start){.service = "\"on_load_failure\":\"degraded\",",
                             .options = "\"parts\":1,\"failing\":\"part-0\",",
                             .manager = path});

    open_gate(&warm, "load");
    hear(manager, "STATUS=ready, degraded", 0);
    close(manager);
    end_warm(&warm);
}

/* ---- cancelled by a stop --------------------------------------------------------------- */

enum { STOPS = 5 };

static int compare_times(const void *a, const void *b)
{
    const int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;

    return (one > other) - (one < other);
}

static int64_t time_of_stop(const char *options, const char *line)
{
    struct warm warm = warm_of("\"on_load_failure\":\"retry\",", options);
    const int fd = client_of(warm.endpoint);

    open_gate(&warm, "load");
    assert_line(warm.rpd, line);
    const int64_t began = now_ns();
    process_signal(warm.rpd, SIGTERM);
    assert_ends(warm.rpd, 0);
    const int64_t took = now_ns() - began;
    assert_same(rest_of(fd), "", &warm);
    close(fd);
    end_warm_with(&warm, 0);
    return took;
}

ParameterizedTestParameters(cancel, at_a_stop)
{
    static size_t at[] = {0, 1, 2, 3};

    return cr_make_param_array(size_t, at, 4);
}

ParameterizedTest(size_t *at, cancel, at_a_stop)
{
    static const struct {
        const char *options, *line;
    } loads[] = {
        {"\"parts\":3,\"hanging\":\"part-1\",", "test: hangs"},
        {"\"parts\":3,\"hanging\":\"part-1\",\"how\":\"poll\",", "test: hangs"},
        {"\"hanging\":\"load\",", "test: hangs"},
        {"\"parts\":3,\"failing\":\"part-1\",", "trying again in 1 s"},
    };
    int64_t took[STOPS];

    for (int i = 0; i < STOPS; i++)
        took[i] = time_of_stop(loads[*at].options, loads[*at].line);
    qsort(took, STOPS, sizeof *took, compare_times);
    cr_log_info("%s: ended within %.1f ms, %.1f at most", loads[*at].options,
                (double)took[STOPS / 2] / 1e6, (double)took[STOPS - 1] / 1e6);
    cr_assert_lt(took[STOPS / 2], 1000 * NS_PER_MS);
}

Test(cancel, one_that_does_not_look_is_ended)
{
    struct warm warm = bound_warm(
        &(struct warm_start){.top = "\"drain_s\":1,",
                             .options = "\"parts\":2,\"hanging\":\"part-1\",\"how\":\"ignore\","});
    const int fd = client_of(warm.endpoint);

    open_gate(&warm, "load");
    assert_line(warm.rpd, "test: hangs");
    const int64_t began = now_ns();
    process_signal(warm.rpd, SIGTERM);
    assert_same(rest_of(fd), "", &warm);
    assert_ends(warm.rpd, 70);
    const double seconds = (double)(now_ns() - began) / 1e9;
    cr_assert(seconds > 1.5 && seconds < 5, "%f s", seconds);
    assert_line(warm.rpd, "rpd: stop: drain: not over one second after drain_s had passed");
    assert_clean(&warm);
    close(fd);
}

/* Loads that are cancelled while they wait for a worker have never begun. */
Test(cancel, those_that_wait_for_a_worker)
{
    struct warm warm = bound_warm(&(struct warm_start){
        .top = "\"workers\":1,", .options = "\"parts\":50,\"hanging\":\"part-0\","});

    open_gate(&warm, "load");
    assert_line(warm.rpd, "test: hangs");
    end_warm(&warm);
}
