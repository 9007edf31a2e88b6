/* What clients get until READY, and how they are released then: each policy with each kind of
 * client; which policy applies; the pace of the release; backlogs. */
#include "warm_scene.h"

#include <criterion/parameterized.h>

#include <netinet/in.h>

/* ---- each policy, each client ---------------------------------------------------- */

enum policy { HOLD, SERVE, REFUSE, BACKLOG, POLICIES };
static const char *const policy_names[] = {"hold", "serve", "refuse", "backlog"};

/* What a client does before READY, and what after it. */
struct behaviour {
    const char *name, *sends;
    bool ends_input, hangs_up, resets; /* then */
    const char *sends_later;           /* sent after READY; then the client ends its input */
    const char *reads[POLICIES];       /* read until READY; NULL: only after it */
    const char *reads_later[POLICIES]; /* read until the end */
    /* How many of its connections on_connect has seen at the end. */
    int seen_unix[POLICIES], seen_tcp[POLICIES];
};

#define NOTHING_YET NULL

static const struct behaviour behaviours[] = {
    /* clang-format off */
    {.name = "waits", .sends_later = "a\n",
     .reads = {NOTHING_YET, NOTHING_YET, "busy\n", NOTHING_YET},
     .reads_later = {"1 a 0\n", "1 a 0\n", "", "1 a 0\n"},
     .seen_unix = {1, 1, 0, 1}, .seen_tcp = {1, 1, 0, 1}},
    {.name = "sends early", .sends = "a\nb", .sends_later = "c\n",
     .reads = {NOTHING_YET, "1 a cold\n", "busy\n", NOTHING_YET},
     .reads_later = {"1 a 0\n1 bc 0\n", "1 bc 0\n", "", "1 a 0\n1 bc 0\n"},
     .seen_unix = {1, 1, 0, 1}, .seen_tcp = {1, 1, 0, 1}},
    {.name = "half-closes", .sends = "a\nb", .ends_input = true,
     .reads = {NOTHING_YET, "1 a cold\n1 b cold\n", "busy\n", NOTHING_YET},
     .reads_later = {"1 a 0\n1 b 0\n", "", "", "1 a 0\n1 b 0\n"},
     .seen_unix = {1, 1, 0, 1}, .seen_tcp = {1, 1, 0, 1}},
    {.name = "ends its input unsaid", .ends_input = true,
     .reads = {"", "", "busy\n", NOTHING_YET},
     .reads_later = {"", "", "", ""},
     .seen_unix = {0, 1, 0, 1}, .seen_tcp = {0, 1, 0, 1}},
    {.name = "hangs up", .hangs_up = true,
     .seen_unix = {0, 1, 0, 1}, .seen_tcp = {0, 1, 0, 1}},
    /* On unix sockets that differs from a half-close, on TCP it does not. */
    {.name = "sends and hangs up", .sends = "a\n", .hangs_up = true,
     .seen_unix = {0, 1, 0, 1}, .seen_tcp = {1, 1, 0, 1}},
    {.name = "sends and resets", .sends = "a\n", .hangs_up = true, .resets = true,
     .seen_unix = {0, 1, 0, 1}, .seen_tcp = {0, 1, 0, 1}},
    /* clang-format on */
};
enum { BEHAVIOURS = sizeof behaviours / sizeof *behaviours };

static struct warm warm_with(enum policy policy, const char *options)
{
    return bound_warm(&(struct warm_start){
        .service = textf("\"warmup\":\"%s\",", policy_names[policy]), .options = options});
}

static void set_linger(int fd)
{
    const struct linger at_once = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* rpd has seen what the client did, as far as the policy lets it look. */
static void wait_until_seen(const struct warm *warm, enum policy policy, bool stays)
{
    switch (policy) {
    case HOLD: wait_page(warm, page.clients_accepted == 1 && page.clients_held == stays); break;
    case SERVE: wait_page(warm, page.clients_accepted == 1 && page.clients_active == stays); break;
    case REFUSE: wait_page(warm, page.clients_refused == 1); break;
    default: wait_page(warm, page.phase == RPD_PHASE_WARMING && page.clients_accepted == 0);
    }
}

static void run_client(const struct warm *warm, const struct behaviour *behaviour,
                       enum policy policy, const char *endpoint, bool is_unix)
{
    const int seen = is_unix ? behaviour->seen_unix[policy] : behaviour->seen_tcp[policy];
    const char *reads = behaviour->reads[policy];
    const bool ended = policy == REFUSE || behaviour->ends_input;
    char now[64] = "";
    int fd = client_of(endpoint);

    if (behaviour->sends)
        say(fd, behaviour->sends);
    if (behaviour->ends_input)
        shutdown(fd, SHUT_WR);
    if (behaviour->resets)
        set_linger(fd);
    if (behaviour->hangs_up) {
        close(fd);
        fd = -1;
    }
    /* Not until the end: a client that continues has not reached its end yet. */
    if (reads && policy != SERVE)
        assert_same(rest_of(fd), reads, warm);
    else if (reads && ended)
        assert_same(rest_of(fd), reads, warm);
    else if (reads) {
        cr_assert_eq(read_exactly(fd, now, strlen(reads)), (ssize_t)strlen(reads));
        assert_same(now, reads, warm);
    }
    wait_until_seen(warm, policy, policy == HOLD ? seen > 0 : fd >= 0 && !ended);
    cr_assert_eq(page_of(warm).phase, RPD_PHASE_WARMING);
    make_ready(warm);
    if (fd >= 0 && !(reads && ended)) {
        if (behaviour->sends_later)
            say(fd, behaviour->sends_later);
        if (!behaviour->ends_input)
            shutdown(fd, SHUT_WR);
        assert_same(rest_of(fd), behaviour->reads_later[policy], warm);
    }
    if (fd >= 0)
        close(fd);
    /* The next client that is let in has the next number. */
    assert_text(ask_once(endpoint, "x"), textf("%d x 0", seen + 1), warm->rpd);
}

ParameterizedTestParameters(warmup, clients)
{
    static size_t at[BEHAVIOURS * POLICIES * 2];

    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, sizeof at / sizeof *at);
}

ParameterizedTest(size_t *at, warmup, clients)
{
    const enum policy policy = (enum policy)(*at % POLICIES);
    const bool is_unix = *at / POLICIES % 2;
    const struct behaviour *behaviour = &behaviours[*at / POLICIES / 2];
    struct warm warm = warm_with(policy, "");

    cr_log_info("%s: a %s client that %s", policy_names[policy], is_unix ? "unix" : "tcp",
                behaviour->name);
    run_client(&warm, behaviour, policy, is_unix ? warm.endpoint : warm.tcp, is_unix);
    end_warm(&warm);
}

/* ---- floods ------------------------------------------------------------------------ */

enum { FLOOD_LINES = 20000 };

struct flood {
    char *text;
    size_t size, sent;
    char *answers;
    size_t read, room;
};

static struct flood make_flood(void)
{
    struct flood flood = {.text = malloc(FLOOD_LINES * 16), .room = FLOOD_LINES * 24};

    flood.answers = calloc(1, flood.room);
    for (int i = 0; i < FLOOD_LINES; i++)
        flood.size += (size_t)snprintf(flood.text + flood.size, 16, "line-%06d\n", i);
    return flood;
}

/* Sends as much as the socket takes without a long wait for room. */
static void send_some(int fd, struct flood *flood)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    while (flood->sent < flood->size && poll(&room, 1, 50) == 1) {
        const ssize_t sent = send(fd, flood->text + flood->sent, flood->size - flood->sent,
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return;
        flood->sent += sent > 0 ? (size_t)sent : 0;
    }
}

/* Sends the rest, and reads the answers as they come. */
static void finish_flood(int fd, struct flood *flood)
{
    for (;;) {
        struct pollfd both = {
            .fd = fd, .events = (short)(POLLIN | (flood->sent < flood->size ? POLLOUT : 0))};
        ssize_t size;

        cr_assert_gt(poll(&both, 1, 20000), 0);
        if (both.revents & POLLOUT) {
            size = send(fd, flood->text + flood->sent, flood->size - flood->sent,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
            flood->sent += size > 0 ? (size_t)size : 0;
            if (flood->sent == flood->size)
                shutdown(fd, SHUT_WR);
        }
        if (!(both.revents & (POLLIN | POLLHUP)))
            continue;
        size = recv(fd, flood->answers + flood->read, flood->room - flood->read - 1, MSG_DONTWAIT);
        cr_assert(size >= 0 || errno == EAGAIN, "%s", strerror(errno));
        if (size == 0)
            return;
        flood->read += size > 0 ? (size_t)size : 0;
    }
}

/* Each line is answered once, in order; "cold" answers first, if there are any. */
static void check_answers(const struct flood *flood, enum policy policy)
{
    const char *answer = flood->answers;
    int cold = 0;

    for (int i = 0; i < FLOOD_LINES; i++) {
        const char *wanted = textf("1 line-%06d ", i);
        cr_assert_eq(strncmp(answer, wanted, strlen(wanted)), 0, "line %d: %.40s", i, answer);
        answer += strlen(wanted);
        if (policy == SERVE && cold == i && strncmp(answer, "cold\n", 5) == 0) {
            cold++;
            answer += 5;
        } else {
            cr_assert_eq(strncmp(answer, "0\n", 2), 0, "line %d: %.20s", i, answer);
            answer += 2;
        }
    }
    cr_assert_str_empty(answer);
    cr_assert_eq(cold > 0, policy == SERVE);
}

/* Input is available, and is left unread. */
static void wait_for_answer(int fd)
{
    struct pollfd answer = {.fd = fd, .events = POLLIN};

    cr_assert_eq(poll(&answer, 1, 20000), 1);
}

ParameterizedTestParameters(warmup, floods)
{
    static size_t at[] = {0, 1, 2, 3, 4, 5, 6, 7};

    return cr_make_param_array(size_t, at, sizeof at / sizeof *at);
}

ParameterizedTest(size_t *at, warmup, floods)
{
    const enum policy policy = (enum policy)(*at % POLICIES);
    struct warm warm = warm_with(policy, "");
    struct flood flood = make_flood();
    const int fd = client_of(*at / POLICIES ? warm.endpoint : warm.tcp);

    send_some(fd, &flood);
    if (policy == REFUSE) {
        assert_same(rest_of(fd), "busy\n", &warm);
        make_ready(&warm);
    } else {
        if (policy == SERVE)
            wait_for_answer(fd);
        make_ready(&warm);
        if (flood.sent == flood.size)
            shutdown(fd, SHUT_WR);
        finish_flood(fd, &flood);
        check_answers(&flood, policy);
    }
    close(fd);
    free(flood.text);
    free(flood.answers);
    end_warm(&warm);
}

/* More than a socket's buffers hold, for a client that sends before it reads. */
Test(warmup, a_large_busy_answer_arrives_whole)
{
    enum { SIZE = 3000000 };
    struct warm warm = warm_with(REFUSE, "\"busy_bytes\":3000000,");
    char *answer = malloc(SIZE + 100);

    for (int i = 0; i < 2; i++) {
        const int fd = client_of(i ? warm.endpoint : warm.tcp);
        say(fd, "a request\n");
        pass_ms(20);
        const ssize_t got = read_to_end(fd, answer, SIZE + 100);
        cr_assert_eq(got, SIZE + 5, "%zd: %s", got, strerror(errno));
        cr_assert_str_eq(answer + SIZE, "busy\n");
        close(fd);
    }
    free(answer);
    make_ready(&warm);
    end_warm(&warm);
}

Test(warmup, thousands_are_refused)
{
    enum { MANY = 2000 };
    struct warm warm = warm_with(REFUSE, "");
    int fds[MANY];

    raise_limit();
    for (int i = 0; i < MANY; i++) {
        fds[i] = client_of(warm.endpoint);
        /* Beyond the limit of lingering connections, it may be closed by now. */
        send_all(fds[i], "a request\n", 10);
    }
    int kept = 0;
    for (int i = 0; i < MANY; i++) {
        const char *text = rest_of(fds[i]);
        cr_assert_eq(strncmp(text, "busy\n", 5), 0, "client %d: %s", i, text);
        kept += strcmp(text, "busy\n") == 0;
        close(fds[i]);
    }
    cr_log_info("%d of %d saw the end, the others a reset behind the answer", kept, MANY);
    make_ready(&warm);
    end_warm(&warm);
}

/* ---- which policy applies ------------------------------------------------------------- */

static void check_policy(const char *plugin, const char *service, enum rpd_warmup wanted)
{
    struct warm warm = bound_warm(&(struct warm_start){.plugin = plugin, .service = service});

    cr_assert_eq(page_of(&warm).warmup, wanted, "%s %s: %u", plugin, service,
                 page_of(&warm).warmup);
    make_ready(&warm);
    end_warm(&warm);
}

Test(warmup, is_the_descriptors_unless_configured)
{
    check_policy("warm", "", RPD_WARMUP_HOLD);
    check_policy("warm_serve", "", RPD_WARMUP_SERVE);
    check_policy("warm_refuse", "", RPD_WARMUP_REFUSE);
    check_policy("warm_backlog", "", RPD_WARMUP_BACKLOG);
    check_policy("warm_serve", "\"warmup\":\"hold\",", RPD_WARMUP_HOLD);
    check_policy("warm_refuse", "\"warmup\":\"backlog\",", RPD_WARMUP_BACKLOG);
    check_policy("warm_backlog", "\"warmup\":\"hold\",", RPD_WARMUP_HOLD);
    check_policy("warm", "\"warmup\":\"serve\",", RPD_WARMUP_SERVE);
}

static void check_refused(const char *plugin, const char *service, int code, const char *line)
{
    struct warm warm = start_warm(&(struct warm_start){.plugin = plugin, .service = service});

    assert_ends(warm.rpd, code);
    cr_assert_eq(lines_with(process_stderr(warm.rpd), line), 1, "no \"%s\" in %s", line,
                 process_stderr(warm.rpd));
    assert_clean(&warm);
}

Test(warmup, what_a_backend_cannot_do_is_refused)
{
    check_refused(
        "warm_bare", "\"warmup\":\"serve\",", 78,
        "service warm: warmup \"serve\" needs a backend that can serve without its state");
    check_refused("warm_bare", "\"on_load_failure\":\"degraded\",", 78,
                  "service warm: on_load_failure \"degraded\" needs a backend");
    check_refused("warm_wrong", "", 65, "warm_wrong.so: its descriptor declares a warm-up policy");
    check_refused("warm_wrong", "\"warmup\":\"hold\",", 65, "(4); use one of enum rpd_warmup");
}

/* Its clients get an end without an answer. */
static void check_mute(const char *plugin)
{
    struct warm warm = bound_warm(
        &(struct warm_start){.plugin = plugin, .service = "\"warmup\":\"refuse\","});
    const int fd = client_of(warm.endpoint);

    assert_line(warm.rpd, "warm: warning: warmup \"refuse\": its backend has no busy answer");
    say(fd, "a\n");
    assert_same(rest_of(fd), "", &warm);
    close(fd);
    make_ready(&warm);
    end_warm(&warm);
}

Test(warmup, refusing_without_an_answer_warns)
{
    check_mute("warm_bare");
    check_mute("warm_mute");
}

/* ---- the release ----------------------------------------------------------------------- */

Test(release, oldest_first_without_those_who_left)
{
    enum { MANY = 2000 };
    struct warm warm = warm_with(HOLD, "");
    int fds[MANY], stayed = 0, number = 0;

    raise_limit();
    for (int i = 0; i < MANY; i++) {
        fds[i] = client_of(warm.endpoint);
        say(fds[i], "a\n");
    }
    wait_page(&warm, page.clients_held == MANY);
    for (int i = 0; i < MANY; i += 7) {
        close(fds[i]);
        fds[i] = -1;
    }
    for (int i = 0; i < MANY; i++)
        stayed += fds[i] >= 0;
    wait_page(&warm, page.clients_held == (uint64_t)stayed);
    cr_assert_eq(page_of(&warm).clients_left, (uint64_t)(MANY - stayed));
    make_ready(&warm);
    for (int i = 0; i < MANY; i++) {
        if (fds[i] < 0)
            continue;
        assert_same(line_of(fds[i]), textf("%d a 0\n", ++number), &warm);
        close(fds[i]);
    }
    wait_page(&warm, page.clients_active == 0 && page.clients_held == 0);
    cr_log_info("%d of %d released; the loop was late by %.1f ms at most", stayed, MANY,
                (double)page_of(&warm).latest_us / 1e3);
    end_warm(&warm);
}

/* They leave while the others are already being released: clients of the first turns. */
Test(release, those_who_leave_during_it_are_skipped)
{
    enum { MANY = 300 };
    struct warm warm = warm_with(HOLD, "\"connect_ms\":2,");
    int fds[MANY];

    for (int i = 0; i < MANY; i++) {
        fds[i] = client_of(warm.endpoint);
        say(fds[i], "a\n");
    }
    wait_page(&warm, page.clients_held == MANY);
    open_gate(&warm, "load");
    cr_assert_str_eq(line_of(fds[0]), "1 a 0\n");
    for (int i = MANY / 2; i < MANY - 1; i++)
        close(fds[i]);
    for (int i = 1; i < MANY / 2; i++)
        assert_same(line_of(fds[i]), textf("%d a 0\n", i + 1), &warm);
    const int last = atoi(line_of(fds[MANY - 1]));
    cr_assert(last > MANY / 2 && last < MANY, "the last is the %d.", last);
    cr_log_info("%d of %d who left were let in", last - 1 - MANY / 2, MANY / 2 - 1);
    end_warm(&warm);
}

static const struct pace {
    const char *name, *options;
    int held;
} paces[] = {
    {"2 ms in on_connect", "\"connect_ms\":2,", 300},
    {"2 ms in on_data", "\"data_ms\":2,", 300},
    {"8 ms in on_connect", "\"connect_ms\":8,", 100},
    {"8 ms in on_data", "\"data_ms\":8,", 100},
};
enum { PACES = sizeof paces / sizeof *paces };

ParameterizedTestParameters(release, new_ones_do_not_starve)
{
    static size_t at[] = {0, 1, 2, 3};

    return cr_make_param_array(size_t, at, PACES);
}

ParameterizedTest(size_t *at, release, new_ones_do_not_starve)
{
    const struct pace *pace = &paces[*at];
    struct warm warm = warm_with(HOLD, pace->options);
    int fds[400];

    for (int i = 0; i < pace->held; i++) {
        fds[i] = client_of(warm.endpoint);
        say(fds[i], "a\n");
    }
    wait_page(&warm, page.clients_held == (uint64_t)pace->held);
    open_gate(&warm, "load");
    cr_assert_str_eq(line_of(fds[0]), "1 a 0\n");
    const int64_t began = now_ns();
    const char *answer = ask_once(warm.endpoint, "new");
    const int64_t answered = now_ns();
    cr_assert_not_null(answer);
    const int number = atoi(answer);
    cr_assert_not_null(line_of(fds[pace->held - 1]));
    const int64_t last = now_ns();
    cr_log_info("%s, %d held: a new one is the %d., after %.0f ms; the last held one after %.0f ms",
                pace->name, pace->held, number, (double)(answered - began) / 1e6,
                (double)(last - began) / 1e6);
    cr_assert_lt(number, pace->held - pace->held / 5, "it was let in as the %d. of %d", number,
                 pace->held + 1);
    cr_assert_lt(answered, last);
    for (int i = 0; i < pace->held; i++)
        close(fds[i]);
    end_warm(&warm);
}

/* Half a line before READY, with the shortest possible clocks for connections. */
Test(release, clocks_do_not_run_while_held)
{
    struct warm warm = bound_warm(&(struct warm_start){
        .service = "\"limits\":{\"first_byte_s\":1,\"request_s\":1,\"idle_s\":1},"});
    const int silent = client_of(warm.endpoint), talks = client_of(warm.endpoint);

    say(talks, "a");
    pass_ms(1500);
    make_ready(&warm);
    say(silent, "b\n");
    say(talks, "c\n");
    assert_same(line_of(silent), "1 b 0\n", &warm);
    assert_same(line_of(talks), "2 ac 0\n", &warm);
    close(silent);
    close(talks);
    end_warm(&warm);
}

/* ---- a stop while they wait --------------------------------------------------------------- */

/* After a stop or a failure there is no state, so there is no answer, but an end. */
ParameterizedTestParameters(warmup, a_stop_is_an_end_of_file)
{
    static size_t at[] = {0, 1, 2, 3};

    return cr_make_param_array(size_t, at, 4);
}

ParameterizedTest(size_t *at, warmup, a_stop_is_an_end_of_file)
{
    const bool fails = *at / 2;
    struct warm warm = warm_with(HOLD, fails ? "\"parts\":1,\"failing\":\"part-0\"," : "");
    const char *endpoint = *at % 2 ? warm.endpoint : warm.tcp;
    const int silent = client_of(endpoint), sent = client_of(endpoint), half = client_of(endpoint);

    say(sent, "a\n");
    say(half, "a\n");
    shutdown(half, SHUT_WR);
    wait_page(&warm, page.clients_held == 3);
    if (fails)
        open_gate(&warm, "load");
    else
        process_signal(warm.rpd, SIGTERM);
    assert_same(rest_of(silent), "", &warm);
    assert_same(rest_of(sent), "", &warm);
    assert_same(rest_of(half), "", &warm);
    close(silent), close(sent), close(half);
    end_warm_with(&warm, fails ? 69 : 0);
}

Test(warmup, a_stop_is_an_end_of_file_in_the_backlog)
{
    struct warm warm = warm_with(BACKLOG, "");
    const int fds[] = {client_of(warm.endpoint), client_of(warm.tcp)};

    wait_page(&warm, page.phase == RPD_PHASE_WARMING);
    say(fds[0], "a\n");
    process_signal(warm.rpd, SIGTERM);
    for (int i = 0; i < 2; i++) {
        assert_same(rest_of(fds[i]), "", &warm);
        close(fds[i]);
    }
    end_warm_with(&warm, 0);
}

/* ---- backlogs -------------------------------------------------------------------------------- */

Test(backlog, more_than_the_kernel_gives_warns)
{
    const int most = atoi(file_read("/proc/sys/net/core/somaxconn"));

    if (most >= 65535)
        cr_skip("no backlog can be more than somaxconn here");
    for (int over = 0; over < 2; over++) {
        struct warm warm = bound_warm(
            &(struct warm_start){.listen_more = textf("\"backlog\":%d,", most + over)});
        make_ready(&warm);
        cr_assert_eq(lines_with(process_stderr(warm.rpd),
                                textf("x.sock: a backlog of %d is more than the kernel gives: it "
                                      "is %d; raise",
                                      most + over, most)),
                     (size_t)over, "%s", process_stderr(warm.rpd));
        end_warm(&warm);
    }
}
