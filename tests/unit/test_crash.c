/* Crash lines and the exit guard: children that end in each way, and the resulting stderr and wait
 * status. Each child is limited by alarm(). */
#include "guard/crash.h"
#include "guard/exit_guard.h"
#include "guard/foreign.h"
#include "guard/last_line.h"
#include "guard/symbol.h"

#include <criterion/criterion.h>

#include <rpd/backend.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_SECONDS = 20 };

/* The faults are deliberate; no sanitizer may catch them first. */
#define ON_PURPOSE __attribute__((noinline, no_sanitize("address", "undefined")))

static volatile int sink;

/* ---- ways to crash ---- */

ON_PURPOSE static void crash_by_null(void)
{
    volatile int *volatile nowhere = NULL;

    /* cppcheck-suppress nullPointer ; on purpose */
    *nowhere = 1;
    sink++;
}

ON_PURPOSE static void crash_by_bus(void)
{
    int fd = memfd_create("short", MFD_CLOEXEC);
    const volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

    sink = page[0];
    sink++;
}

ON_PURPOSE static void crash_by_division(void)
{
#if defined(__x86_64__)
    volatile int some = 7, zero = 0;

    /* cppcheck-suppress zerodiv ; on purpose */
    sink = some / zero;
#else
    raise(SIGFPE);
#endif
    sink++;
}

ON_PURPOSE static void crash_by_instruction(void)
{
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#elif defined(__aarch64__)
    __asm__ volatile(".inst 0");
#else
    raise(SIGILL);
#endif
    sink++;
}

ON_PURPOSE static void crash_by_abort(void)
{
    sink++;
    abort();
}

ON_PURPOSE static void crash_by_trap(void)
{
    raise(SIGTRAP);
    sink++;
}

ON_PURPOSE static void crash_by_bad_call(void)
{
    raise(SIGSYS);
    sink++;
}

ON_PURPOSE static int crash_by_recursion(int depth)
{
    volatile char room[512];

    room[depth & 511] = (char)depth;
    if (sink < 0) /* never; but the compiler need not know */
        return 0;
    return crash_by_recursion(depth + 1) + room[(depth + 1) & 511];
}

ON_PURPOSE static void crash_by_overflow(void)
{
    sink = crash_by_recursion(1);
    sink++;
}

ON_PURPOSE static void crash_by_call_to_null(void)
{
    void (*volatile nothing)(void) = NULL;

    /* cppcheck-suppress nullPointer ; on purpose */
    nothing();
    sink++;
}

ON_PURPOSE static void exit_by_plugin(void)
{
    sink++;
    exit(3);
}

/* ---- children ---- */

struct outcome {
    int status;
    char text[3 * 4096];
};

static void read_text(int fd, struct outcome *outcome)
{
    size_t used = 0;
    ssize_t got;

    while (used < sizeof outcome->text - 1 &&
           (got = read(fd, outcome->text + used, sizeof outcome->text - 1 - used)) > 0)
        used += (size_t)got;
    outcome->text[used] = 0;
}

static struct outcome in_child(void (*body)(void *arg), void *arg)
{
    const struct rlimit no_core = {0, 0};
    struct outcome outcome = {0};
    int ends[2];
    pid_t child;

    cr_assert_eq(pipe(ends), 0);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        body(arg);
        _exit(99);
    }
    close(ends[1]);
    read_text(ends[0], &outcome);
    cr_assert_eq(waitpid(child, &outcome.status, 0), child);
    close(ends[0]);
    return outcome;
}

static void *run_on_worker(void *arg)
{
    void (*const *act)(void) = arg;

    crash_thread_begin("worker");
    foreign_enter((struct foreign_owner){"echo", "/plugins/echo.so"}, NULL);
    (*act)();
    sink++;
    return NULL;
}

static void prepare(void)
{
    crash_install();
    crash_thread_begin("loop");
    crash_prepare_backtrace();
    last_line_set_step("serve");
}

static void act_on_main(void *arg)
{
    void (*const *act)(void) = arg;

    prepare();
    foreign_enter((struct foreign_owner){"echo", "/plugins/echo.so"}, NULL);
    (*act)();
    sink++; /* a frame of its own: not a tail call */
}

static void act_on_worker(void *arg)
{
    pthread_t thread;

    prepare();
    pthread_create(&thread, NULL, run_on_worker, arg);
    pthread_join(thread, NULL);
}

static void assert_one_line(const struct outcome *outcome)
{
    const char *end = strchr(outcome->text, '\n');

    cr_assert_not_null(end, "no line: \"%s\"", outcome->text);
    cr_assert_eq(end[1], 0, "more than a line: \"%s\"", outcome->text);
}

static void assert_has(const struct outcome *outcome, const char *what)
{
    cr_assert_not_null(strstr(outcome->text, what), "no \"%s\" in \"%s\"", what, outcome->text);
}

static void assert_has_not(const struct outcome *outcome, const char *what)
{
    cr_assert_null(strstr(outcome->text, what), "\"%s\" in \"%s\"", what, outcome->text);
}

static void assert_died_of(const struct outcome *outcome, int number)
{
    cr_assert(WIFSIGNALED(outcome->status), "status %#x: \"%s\"", (unsigned)outcome->status,
              outcome->text);
    cr_assert_eq(WTERMSIG(outcome->status), number, "signal %d", WTERMSIG(outcome->status));
}

static const struct {
    const char *label;
    void (*act)(void);
    int number;
    const char *start;
} ways[] = {
    {"null", crash_by_null, SIGSEGV, "rpd: crash: SIGSEGV at address 0x0 in crash_by_null+0x"},
    {"bus", crash_by_bus, SIGBUS, "rpd: crash: SIGBUS at address 0x"},
    {"division", crash_by_division, SIGFPE, "rpd: crash: SIGFPE in crash_by_division+0x"},
    {"instruction", crash_by_instruction, SIGILL, "rpd: crash: SIGILL in crash_by_instruction+0x"},
    {"abort", crash_by_abort, SIGABRT, "rpd: crash: SIGABRT in crash_by_abort+0x"},
    {"trap", crash_by_trap, SIGTRAP, "rpd: crash: SIGTRAP in crash_by_trap+0x"},
    {"bad call", crash_by_bad_call, SIGSYS, "rpd: crash: SIGSYS in crash_by_bad_call+0x"},
    {"overflow", crash_by_overflow, SIGSEGV, "rpd: crash: SIGSEGV at address 0x"},
    {"call to null", crash_by_call_to_null, SIGSEGV,
     "rpd: crash: SIGSEGV at address 0x0 in 0x0 called from crash_by_call_to_null+0x"},
};

static void check_way(size_t way, bool worker)
{
    void (*act)(void) = ways[way].act;
    struct outcome outcome = in_child(worker ? act_on_worker : act_on_main, &act);

    cr_assert(WIFSIGNALED(outcome.status), "%s: status %#x", ways[way].label,
              (unsigned)outcome.status);
    assert_died_of(&outcome, ways[way].number);
    assert_one_line(&outcome);
    cr_assert_eq(strncmp(outcome.text, ways[way].start, strlen(ways[way].start)), 0, "%s: \"%s\"",
                 ways[way].label, outcome.text);
    assert_has(&outcome, ", step serve, service echo (plugin /plugins/echo.so), thread ");
    assert_has(&outcome, worker ? ", thread worker; backtrace: " : ", thread loop; backtrace: ");
    assert_has(&outcome, worker ? " < run_on_worker+0x" : " < act_on_main+0x");
}

Test(crash, each_way_on_main)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (ways[i].act != crash_by_overflow)
            check_way(i, false);
}

Test(crash, each_way_on_a_worker)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (ways[i].act != crash_by_overflow)
            check_way(i, true);
}

static void check_overflow(void (*body)(void *arg), const char *thread)
{
    void (*act)(void) = crash_by_overflow;
    struct outcome outcome = in_child(body, &act);

    assert_died_of(&outcome, SIGSEGV);
    assert_one_line(&outcome);
    assert_has(&outcome, " (stack overflow) in crash_by_recursion+0x");
    assert_has(&outcome, thread);
    assert_has(&outcome, "; backtrace: crash_by_recursion+0x");
    assert_has(&outcome, " x"); /* the same frame many times, reported once */
}

Test(crash, stack_overflow_on_main)
{
    check_overflow(act_on_main, ", thread loop;");
}

Test(crash, stack_overflow_on_a_worker)
{
    check_overflow(act_on_worker, ", thread worker;");
}

/* ---- odd circumstances ---- */

static void crash_unprepared(void *arg)
{
    (void)arg;
    crash_install();
    crash_by_null();
}

Test(crash, without_any_preparation)
{
    struct outcome outcome = in_child(crash_unprepared, NULL);

    assert_died_of(&outcome, SIGSEGV);
    assert_one_line(&outcome);
    assert_has(&outcome, "in crash_by_null+0x");
    assert_has(&outcome, ", object ");
    assert_has(&outcome, "(not rpd's; named ");
    assert_has_not(&outcome, ", step");
    assert_has_not(&outcome, ", service");
    assert_has_not(&outcome, " < ");
}

static void crash_with_broken_context(void *arg)
{
    prepare();
    foreign_enter((struct foreign_owner){arg, "/plugins/echo.so"}, NULL);
    crash_by_null();
}

Test(crash, a_fault_while_telling_keeps_what_was_told)
{
    struct outcome outcome = in_child(crash_with_broken_context, (void *)8);

    assert_died_of(&outcome, SIGSEGV);
    assert_one_line(&outcome);
    assert_has(&outcome, "in crash_by_null+0x");
    assert_has(&outcome, "was lost");
}

static void crash_nested(void *arg)
{
    (void)arg;
    prepare();
    foreign_enter((struct foreign_owner){"echo", "/plugins/echo.so"}, NULL);
    foreign_enter((struct foreign_owner){"echo", "/plugins/echo.so"}, NULL);
    foreign_leave();
    crash_by_null();
}

Test(crash, leaving_a_nested_call_keeps_the_outer_context)
{
    struct outcome outcome = in_child(crash_nested, NULL);

    assert_has(&outcome, ", service echo (plugin");
}

static void crash_after_leaving(void *arg)
{
    (void)arg;
    prepare();
    foreign_enter((struct foreign_owner){"echo", "/plugins/echo.so"}, NULL);
    foreign_leave();
    crash_by_null();
}

Test(crash, outside_of_callbacks_no_service_is_named)
{
    struct outcome outcome = in_child(crash_after_leaving, NULL);

    assert_has_not(&outcome, ", service");
    assert_has(&outcome, ", object ");
}

static pthread_barrier_t barrier;

static void *crash_together(void *arg)
{
    (void)arg;
    crash_thread_begin("worker");
    pthread_barrier_wait(&barrier);
    crash_by_null();
    return NULL;
}

static void crash_on_two_threads(void *arg)
{
    pthread_t threads[4];

    (void)arg;
    prepare();
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, crash_together, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

Test(crash, of_several_threads_at_once_is_one_line)
{
    for (int i = 0; i < 25; i++) {
        struct outcome outcome = in_child(crash_on_two_threads, NULL);

        assert_died_of(&outcome, SIGSEGV);
        assert_one_line(&outcome);
        assert_has(&outcome, "in crash_by_null+0x");
    }
}

static void be_killed(void *arg)
{
    const pid_t victim = getpid();
    pid_t killer;

    (void)arg;
    prepare();
    killer = fork();
    if (killer == 0)
        _exit(kill(victim, SIGSEGV));
    waitpid(killer, NULL, 0);
    for (;;)
        pause();
}

Test(crash, a_sent_signal_names_the_sender_and_no_address)
{
    struct outcome outcome = in_child(be_killed, NULL);

    assert_died_of(&outcome, SIGSEGV);
    assert_one_line(&outcome);
    assert_has(&outcome, "SIGSEGV sent by process ");
    assert_has_not(&outcome, "at address");
}

static void crash_without_reader(void *arg)
{
    int ends[2];

    (void)arg;
    signal(SIGPIPE, SIG_DFL);
    prepare();
    if (pipe(ends) == 0) {
        close(ends[0]);
        dup2(ends[1], STDERR_FILENO);
    }
    crash_by_null();
}

Test(crash, nobody_at_stderr_does_not_change_the_signal)
{
    struct outcome outcome = in_child(crash_without_reader, NULL);

    assert_died_of(&outcome, SIGSEGV);
}

static void crash_with_full_stderr(void *arg)
{
    char bytes[4096];
    int ends[2];

    (void)arg;
    prepare();
    if (pipe(ends) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0) {
        memset(bytes, 'x', sizeof bytes);
        while (write(ends[1], bytes, sizeof bytes) > 0)
            ;
        fcntl(ends[1], F_SETFL, 0);
        dup2(ends[1], STDERR_FILENO);
    }
    crash_by_null();
}

Test(crash, a_full_stderr_does_not_keep_the_process_alive)
{
    struct outcome outcome = in_child(crash_with_full_stderr, NULL);

    assert_died_of(&outcome, SIGSEGV);
}

static void begin_and_end(void *arg)
{
    stack_t before, after;

    (void)arg;
    sigaltstack(NULL, &before);
    for (int i = 0; i < 100000; i++) { /* leaks would be 6 GiB */
        crash_thread_begin("loop");
        crash_thread_end();
    }
    sigaltstack(NULL, &after);
    _exit(before.ss_sp == after.ss_sp && before.ss_flags == after.ss_flags ? 0 : 1);
}

Test(crash, the_end_of_a_thread_puts_the_stack_back)
{
    struct outcome outcome = in_child(begin_and_end, NULL);

    cr_assert_eq(outcome.status, 0, "status %#x", (unsigned)outcome.status);
}

/* ---- names ---- */

static const char *text_of(uintptr_t address, unsigned how)
{
    static char bytes[512];
    struct text_builder text;

    text_init(&text, bytes, sizeof bytes);
    symbol_add(&text, address, how);
    return bytes;
}

Test(symbol, a_static_function_of_a_plugin_is_found)
{
    void *plugin = dlopen(TEST_PLUGIN_SO, RTLD_LAZY | RTLD_LOCAL);
    const struct rpd_backend *backend;

    if (!plugin)
        cr_skip_test("%s", dlerror());
    backend = dlsym(plugin, "rpd_backend_v1");
    cr_assert_not_null(backend);
    cr_assert_str_eq(text_of((uintptr_t)backend->on_data, 0), "on_data+0x0 (echo.so)");
    cr_assert_str_eq(text_of((uintptr_t)backend->on_data + 1, SYMBOL_RETURN_ADDRESS),
                     "on_data+0x1 (echo.so)");
    /* Without the file only the object is known, or an exported function. */
    cr_assert_eq(strncmp(text_of((uintptr_t)backend->on_data, SYMBOL_NO_FILES), "echo.so+0x", 10),
                 0);
    dlclose(plugin);
}

Test(symbol, an_exported_function_is_found_in_memory)
{
    cr_assert_eq(strncmp(text_of((uintptr_t)hcreate, SYMBOL_NO_FILES), "hcreate+0x0 (libc", 17), 0,
                 "%s", text_of((uintptr_t)hcreate, SYMBOL_NO_FILES));
    cr_assert_eq(strncmp(text_of((uintptr_t)hcreate, 0), "hcreate+0x0 (libc", 17), 0);
}

Test(symbol, an_address_of_nothing_is_a_number)
{
    cr_assert_str_eq(text_of(0, 0), "0x0");
    cr_assert_str_eq(text_of(0x1234, 0), "0x1234");
    cr_assert_str_eq(text_of(UINTPTR_MAX, 0), "0xffffffffffffffff");
    cr_assert_str_eq(text_of(0, SYMBOL_RETURN_ADDRESS), "0x0");
}

Test(symbol, what_does_not_fit_ends_in_dots)
{
    char bytes[8];
    struct text_builder text;

    text_init(&text, bytes, sizeof bytes);
    text_add(&text, "abc\ndefgh");
    cr_assert_str_eq(bytes, "abc?...");
    text_init(&text, bytes, sizeof bytes);
    text_add_decimal(&text, -1203);
    cr_assert_str_eq(bytes, "-1203");
    text_init(&text, bytes, 2);
    text_add(&text, "abc");
    cr_assert_str_eq(bytes, ".");
}

/* ---- exit() ---- */

static void clean_up(void)
{
    if (write(STDERR_FILENO, "cleaned up\n", 11) < 0)
        _exit(98);
}

static void guarded_on_main(void *arg)
{
    exit_guard_install(clean_up);
    act_on_main(arg);
}

static void guarded_on_worker(void *arg)
{
    exit_guard_install(clean_up);
    act_on_worker(arg);
}

static void quit_quickly(void)
{
    quick_exit(3);
}

static void assert_exit_line(const struct outcome *outcome, const char *caller, const char *thread)
{
    cr_assert(WIFEXITED(outcome->status), "status %#x", (unsigned)outcome->status);
    cr_assert_eq(WEXITSTATUS(outcome->status), 70);
    cr_assert_eq(strncmp(outcome->text, "rpd: exit: plugin echo.so called exit(); from ", 46), 0,
                 "%s", outcome->text);
    assert_has(outcome, caller);
    assert_has(outcome, ", step serve, service echo (plugin /plugins/echo.so), thread ");
    assert_has(outcome, thread);
    cr_assert_str_eq(strchr(outcome->text, '\n'), "\ncleaned up\n", "%s", outcome->text);
}

Test(exit_guard, on_main)
{
    void (*act)(void) = exit_by_plugin;
    struct outcome outcome = in_child(guarded_on_main, &act);

    assert_exit_line(&outcome, "from exit_by_plugin+0x", ", thread loop;");
}

Test(exit_guard, on_a_worker)
{
    void (*act)(void) = exit_by_plugin;
    struct outcome outcome = in_child(guarded_on_worker, &act);

    assert_exit_line(&outcome, "from exit_by_plugin+0x", ", thread worker;");
}

Test(exit_guard, quick_exit_too)
{
    void (*act)(void) = quit_quickly;
    struct outcome outcome = in_child(guarded_on_main, &act);

    assert_exit_line(&outcome, "from quit_quickly+0x", ", thread loop;");
}

static void exit_outside(void *arg)
{
    (void)arg;
    exit_guard_install(clean_up);
    prepare();
    exit_by_plugin();
}

Test(exit_guard, outside_of_callbacks_the_object_is_named)
{
    struct outcome outcome = in_child(exit_outside, NULL);

    cr_assert_eq(WEXITSTATUS(outcome.status), 70);
    assert_has(&outcome, "rpd: exit: program ");
    assert_has(&outcome, "; from exit_by_plugin+0x");
    assert_has(&outcome, ", object ");
    assert_has(&outcome, "\ncleaned up\n");
}

static void exit_allowed(void *arg)
{
    exit_guard_install(clean_up);
    prepare();
    exit_guard_allow();
    exit(*(int *)arg);
}

Test(exit_guard, an_allowed_exit_is_silent)
{
    int code = 5;
    struct outcome outcome = in_child(exit_allowed, &code);

    cr_assert(WIFEXITED(outcome.status));
    cr_assert_eq(WEXITSTATUS(outcome.status), 5);
    assert_has_not(&outcome, "rpd:"); /* a sanitizer may write something, too */
    assert_has_not(&outcome, "cleaned up");
}

static void fork_and_exit(void *arg)
{
    int status = 0;
    pid_t child;

    exit_guard_install(clean_up);
    prepare();
    child = fork();
    if (child == 0)
        exit(*(int *)arg);
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
}

Test(exit_guard, a_forked_child_may_exit)
{
    int code = 6;
    struct outcome outcome = in_child(fork_and_exit, &code);

    cr_assert(WIFEXITED(outcome.status));
    cr_assert_eq(WEXITSTATUS(outcome.status), 6);
    assert_has_not(&outcome, "rpd:"); /* a sanitizer may write something, too */
    assert_has_not(&outcome, "cleaned up");
}
