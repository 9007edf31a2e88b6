/* How a reader of the state page judges a service, in each phase, with its backlog empty or full,
 * while it runs, stalls, is stopped, or is killed: the right verdict, soon, and at little cost. */
#include "warm_scene.h"

#include <criterion/parameterized.h>

enum phase { WARMING, READY, DRAINING, PHASES };
enum condition { RUNNING, BLOCKED, STOPPED, KILLED, CONDITIONS };

static const char *const phase_names[] = {"warming", "ready", "draining"};
static const char *const condition_names[] = {"runs", "is blocked", "is stopped", "is killed"};
static const enum state_verdict verdicts[] = {STATE_WARMING, STATE_ALIVE, STATE_DRAINING};

enum { BLOCK_MS = 1600, QUEUED_MAX = 20 };

struct watched {
    struct warm warm;
    int client, queued[QUEUED_MAX];
    int queued_count;
    int64_t slowest_ns, all_ns;
    int looks;
};

/* ---- reaching each state ----------------------------------------------------------------- */

/* Connects until the queue is full. */
static void fill_backlog(struct watched *watched)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, watched->warm.path, strlen(watched->warm.path) + 1);
    while (watched->queued_count < QUEUED_MAX) {
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        watched->queued[watched->queued_count++] = fd;
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
            continue;
        cr_assert_eq(errno, EAGAIN, "%s", strerror(errno));
        return;
    }
    cr_assert_fail("the backlog was never full");
}

/* Its optional part loads when the test wants it, and its attach blocks the loop. When ready, it
 * has one client, which delays the drain by a job and takes the only place, so that the others
 * queue. */
static struct watched watch(enum phase phase, bool full)
{
    struct watched watched = {
        .warm = bound_warm(&(struct warm_start){
            .service = full ? "\"warmup\":\"backlog\",\"limits\":{\"clients\":1}," : "",
            .options = textf("\"parts\":2,\"optional\":1,\"attach_ms\":%d,", BLOCK_MS),
            .listen_more = full ? "\"backlog\":2," : ""}),
        .client = -1};
    struct warm *warm = &watched.warm;

    open_gate(warm, "load");
    assert_line(warm->rpd, "part-1 begins");
    if (phase != WARMING) {
        open_gate(warm, "part-0");
        assert_line(warm->rpd, ": ready (");
        watched.client = client_of(warm->endpoint);
        assert_text(ask(watched.client, "a"), "1 a 1", warm->rpd);
        say(watched.client, "job\n");
        wait_page(warm, page.jobs == 1);
    }
    if (full)
        fill_backlog(&watched);
    if (phase == DRAINING) {
        process_signal(warm->rpd, SIGTERM);
        wait_page(warm, page.phase == RPD_PHASE_DRAINING);
    }
    return watched;
}

static void leave(struct watched *watched)
{
    for (int i = 0; i < watched->queued_count; i++)
        close(watched->queued[i]);
    if (watched->client >= 0)
        close(watched->client);
    process_signal(watched->warm.rpd, SIGKILL);
    process_wait_exit(watched->warm.rpd);
    process_free(watched->warm.rpd);
    close(watched->warm.run_fd);
    temp_dir_remove(watched->warm.dir);
}

/* ---- looking ------------------------------------------------------------------------ */

static enum state_verdict look_at(struct watched *watched)
{
    struct rpd_state_page page;
    enum state_verdict verdict;
    const int64_t began = now_ns();

    state_view_look(watched->warm.run_fd, "warm", &page, &verdict);
    const int64_t took = now_ns() - began;
    watched->looks++;
    watched->all_ns += took;
    if (took > watched->slowest_ns)
        watched->slowest_ns = took;
    return verdict;
}

/* The verdict stays this one, for this long. */
static void assert_remains(struct watched *watched, enum state_verdict wanted, int ms)
{
    const int64_t end = now_ns() + ms * NS_PER_MS;

    while (now_ns() < end) {
        const enum state_verdict verdict = look_at(watched);
        cr_assert_eq(verdict, wanted, "%s instead of %s\n%s", state_verdict_text(verdict),
                     state_verdict_text(wanted), process_stderr(watched->warm.rpd));
        poll(NULL, 0, 5);
    }
}

/* The verdict goes from one to the other, with no other in between. Returns the milliseconds that
 * it took. */
static double becomes(struct watched *watched, enum state_verdict before, enum state_verdict wanted)
{
    const int64_t began = now_ns();

    for (;;) {
        const enum state_verdict verdict = look_at(watched);
        const double ms = (double)(now_ns() - began) / 1e6;
        if (verdict == wanted)
            return ms;
        cr_assert_eq(verdict, before, "%s instead of %s", state_verdict_text(verdict),
                     state_verdict_text(before));
        cr_assert_lt(ms, 10000, "%s is still %s", state_verdict_text(wanted),
                     state_verdict_text(before));
        poll(NULL, 0, 2);
    }
}

/* A large process on a busy machine takes a while to go: until then it has its lock, and its loop
 * does not turn. After its end it is dead. */
static double dies(struct watched *watched, enum state_verdict before)
{
    const int64_t began = now_ns();
    bool was_alive = true;

    process_signal(watched->warm.rpd, SIGKILL);
    while (was_alive) {
        was_alive = process_alive(watched->warm.rpd);
        const enum state_verdict verdict = look_at(watched);
        if (verdict == STATE_DEAD)
            break;
        cr_assert(was_alive && (verdict == before || verdict == STATE_STALLED), "%s",
                  state_verdict_text(verdict));
        poll(NULL, 0, 2);
    }
    return (double)(now_ns() - began) / 1e6;
}

static double check_condition(struct watched *watched, enum condition condition,
                              enum state_verdict usual)
{
    double took = 0;

    switch (condition) {
    case RUNNING: assert_remains(watched, usual, 400); break;
    case BLOCKED:
        open_gate(&watched->warm, "part-1");
        assert_line(watched->warm.rpd, "part-1 attached");
        took = becomes(watched, usual, STATE_STALLED);
        becomes(watched, STATE_STALLED, usual);
        assert_remains(watched, usual, 100);
        break;
    case STOPPED:
        process_signal(watched->warm.rpd, SIGSTOP);
        took = becomes(watched, usual, STATE_STALLED);
        assert_remains(watched, STATE_STALLED, 100);
        process_signal(watched->warm.rpd, SIGCONT);
        becomes(watched, STATE_STALLED, usual);
        assert_remains(watched, usual, 100);
        break;
    default: took = dies(watched, usual); assert_remains(watched, STATE_DEAD, 100);
    }
    return took;
}

ParameterizedTestParameters(verdicts, of)
{
    static size_t at[PHASES * 2 * CONDITIONS];

    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, sizeof at / sizeof *at);
}

ParameterizedTest(size_t *at, verdicts, of)
{
    const enum condition condition = (enum condition)(*at % CONDITIONS);
    const enum phase phase = (enum phase)(*at / CONDITIONS % PHASES);
    const bool full = *at / CONDITIONS / PHASES;
    struct watched watched = watch(phase, full);
    const double took = check_condition(&watched, condition, verdicts[phase]);
    const double mean = (double)watched.all_ns / 1e6 / watched.looks;

    cr_log_info("%s, backlog %s, %s: seen after %.0f ms; a look took %.3f ms, %.3f at most",
                phase_names[phase], full ? "full" : "empty", condition_names[condition], took, mean,
                (double)watched.slowest_ns / 1e6);
    cr_assert_lt(took, condition == KILLED || is_sanitized() ? 5000 : 1000, "%f", took);
    cr_assert_lt(mean, 50);
    leave(&watched);
}

/* Removed before it continues: nothing of a stall stays behind. */
Test(verdicts, after_a_stall_all_is_as_before)
{
    struct watched watched = watch(READY, true);

    process_signal(watched.warm.rpd, SIGSTOP);
    becomes(&watched, STATE_ALIVE, STATE_STALLED);
    process_signal(watched.warm.rpd, SIGCONT);
    becomes(&watched, STATE_STALLED, STATE_ALIVE);
    open_gate(&watched.warm, "job");
    cr_assert_str_eq(line_of(watched.client), "1 job\n");
    close(watched.client);
    watched.client = -1;
    /* The place is free: the first queued client gets it. */
    fcntl(watched.queued[0], F_SETFL, 0);
    assert_text(ask(watched.queued[0], "b"), "2 b 1", watched.warm.rpd);
    leave(&watched);
}
