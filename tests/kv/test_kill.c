/* kill -9 under a load of writes: everything that a save acknowledged is there, and the data is of
 * one moment. Ten rounds; 200 with RPD_TEST_LONG=1. */
#include "kv_scene.h"
#include "resp_stream.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    GROUP = 12,
    RING = 20000,
    VALUE_MAX = 320,
    ANSWER_MAX = VALUE_MAX + 16,
    COMMAND_MAX = 1024,
    COMMANDS_AT_A_TIME = 50
};

static bool is_long(void)
{
    const char *mode = getenv("RPD_TEST_LONG");

    return mode && *mode && strcmp(mode, "0") != 0;
}

/* ---- the numbered commands ---------------------------------------------------------- */

static size_t make_value(long number, char value[VALUE_MAX])
{
    size_t size = (size_t)snprintf(value, VALUE_MAX, "%ld:", number);

    memset(value + size, (int)('a' + number % 26), (size_t)number % 290);
    size += (size_t)number % 290;
    value[size] = '\0';
    return size;
}

/* Each command sets the same number in keys all over the store, and a key of a ring to a value that
 * contains the number. So the data tells exactly which command was the last. */
static size_t make_command(long number, char command[COMMAND_MAX])
{
    char value[VALUE_MAX];
    size_t size = (size_t)snprintf(command, COMMAND_MAX, "MSET");

    for (int i = 0; i < GROUP; i++)
        size += (size_t)snprintf(command + size, COMMAND_MAX - size, " group:%d %ld", i, number);
    make_value(number, value);
    return size + (size_t)snprintf(command + size, COMMAND_MAX - size, " ring:%ld %s\r\n",
                                   number % RING, value);
}

/* The value in the answer to a GET; NULL: there is none. */
static size_t make_answer(const char *value, char answer[ANSWER_MAX])
{
    return (size_t)(value ? snprintf(answer, ANSWER_MAX, "$%zu\r\n%s\r\n", strlen(value), value)
                          : snprintf(answer, ANSWER_MAX, "$-1\r\n"));
}

/* ---- the data is the result of these commands -------------------------------------------- */

static void check_ring(int fd, long last, long from, long to)
{
    static char asks[100 * 32], wanted[100 * ANSWER_MAX], found[sizeof wanted];
    size_t asked = 0, size = 0;

    for (long i = from; i < to; i++) {
        const long number = last - (last + RING - i) % RING;
        char value[VALUE_MAX];
        make_value(number < 0 ? 0 : number, value);
        asked += (size_t)snprintf(asks + asked, sizeof asks - asked, "GET ring:%ld\r\n", i);
        size += make_answer(number > 0 ? value : NULL, wanted + size);
    }
    cr_assert_eq(send_all(fd, asks, asked), 0);
    cr_assert_eq(read_exactly(fd, found, size), (ssize_t)size);
    cr_assert_eq(memcmp(found, wanted, size), 0, "from %ld: %.*s instead of %.*s", from, (int)size,
                 found, (int)size, wanted);
}

/* Returns the number of the last command that took effect. */
static long check_all(int fd)
{
    const char *text = scene_ask(fd, "GET group:0");
    const long last = strtol(text, NULL, 10);

    for (int i = 1; i < GROUP; i++) {
        const char *other = scene_ask(fd, "GET group:%d", i);
        cr_assert_str_eq(other, text, "torn: group:%d is %s, group:0 is %s", i, other, text);
    }
    for (long i = 0; i < RING; i += 100)
        check_ring(fd, last, i, i + 100);
    const char *count = scene_ask(fd, "DBSIZE");
    cr_assert_str_eq(count, textf(":%ld", last > 0 ? GROUP + (last < RING ? last : RING) : 0));
    return last;
}

/* ---- the writer, which does not wait for answers ------------------------------------------ */

struct writer {
    int fd;
    long sent, answered; /* numbers of commands */
    char out[COMMANDS_AT_A_TIME * COMMAND_MAX];
    size_t out_size, out_done;
    size_t answer_bytes; /* of an incomplete answer */
};

/* Writes as much as the socket takes now. */
static void writer_send(struct writer *writer)
{
    if (writer->out_done == writer->out_size) {
        writer->out_done = writer->out_size = 0;
        for (int i = 0; i < COMMANDS_AT_A_TIME; i++)
            writer->out_size += make_command(++writer->sent, writer->out + writer->out_size);
    }
    const ssize_t sent = send(writer->fd, writer->out + writer->out_done,
                              writer->out_size - writer->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        writer->out_done += (size_t)sent;
}

static void writer_receive(struct writer *writer)
{
    static const char answer[] = "+OK\r\n";
    char text[4096];
    ssize_t size;

    while ((size = recv(writer->fd, text, sizeof text, MSG_DONTWAIT)) > 0)
        for (ssize_t i = 0; i < size; i++) {
            cr_assert_eq(text[i], answer[writer->answer_bytes], "answered: %.*s", (int)size, text);
            writer->answer_bytes = (writer->answer_bytes + 1) % (sizeof answer - 1);
            writer->answered += writer->answer_bytes == 0;
        }
}

/* ---- the saver ---------------------------------------------------------------------- */

/* Saves with SAVE; or with BGSAVE, followed by INFO until the save is over. LASTSAVE counts in
 * seconds. */
enum saver_step { IDLE, SAVES, BEGINS, LOOKS };

struct saver {
    int fd;
    enum saver_step step;
    bool background;
    long asked, acknowledged; /* numbers of commands */
    int64_t asked_ns;
    unsigned saves; /* that were acknowledged */
    char in[65536];
    size_t size;
};

static void saver_ask(struct saver *saver, const char *text, enum saver_step step)
{
    saver->step = step;
    saver->size = 0;
    send_all(saver->fd, text, strlen(text)); /* it may be dead */
}

/* The save must contain all commands that are answered by now. */
static void saver_begin(struct saver *saver, long answered)
{
    saver->asked = answered;
    saver->asked_ns = now_ns();
    saver_ask(saver, saver->background ? "BGSAVE\r\n" : "SAVE\r\n",
              saver->background ? BEGINS : SAVES);
}

static void saver_acknowledge(struct saver *saver)
{
    saver->acknowledged = saver->asked;
    saver->saves++;
    saver->step = IDLE;
}

static void saver_take(struct saver *saver, const char *answer)
{
    switch (saver->step) {
    case IDLE: break;
    case SAVES:
        cr_assert_str_eq(answer, "+OK\r\n");
        saver_acknowledge(saver);
        break;
    case BEGINS:
        cr_assert_str_eq(answer, "+Background saving started\r\n");
        saver_ask(saver, "INFO persistence\r\n", LOOKS);
        break;
    case LOOKS:
        if (!strstr(answer, "rdb_bgsave_in_progress:0")) {
            saver_ask(saver, "INFO persistence\r\n", LOOKS);
            break;
        }
        cr_assert_not_null(strstr(answer, "rdb_last_bgsave_status:ok"), "%s", answer);
        saver_acknowledge(saver);
        break;
    }
}

/* Reads the answers that have come. False: the end. */
static bool saver_receive(struct saver *saver)
{
    const ssize_t size = recv(saver->fd, saver->in + saver->size,
                              sizeof saver->in - 1 - saver->size, MSG_DONTWAIT);

    if (size <= 0)
        return size < 0 && errno == EAGAIN;
    saver->size += (size_t)size;
    saver->in[saver->size] = '\0';
    if (resp_answer_size(saver->in, saver->size) > 0)
        saver_take(saver, saver->in);
    return true;
}

/* ---- rounds --------------------------------------------------------------------------- */

/* The time at which the daemon is killed. */
enum moment { AT_ONCE, AS_A_SAVE_IS_ACKNOWLEDGED, WHILE_A_SAVE_RUNS, MOMENTS };

static bool is_now(enum moment moment, const struct saver *saver, unsigned saves, int64_t delay_ns)
{
    switch (moment) {
    case AS_A_SAVE_IS_ACKNOWLEDGED: return saver->saves > saves;
    case WHILE_A_SAVE_RUNS: return saver->step != IDLE && now_ns() - saver->asked_ns > delay_ns;
    default: return true;
    }
}

/* Writes and saves without a pause until the end. */
static void write_until_killed(struct process *rpd, struct writer *writer, struct saver *saver,
                               enum moment moment)
{
    const int64_t until = now_ns() + 1000000 + random() % 150000000;
    const int64_t delay_ns = random() % 5000000, give_up = until + 60000000000;
    unsigned saves = saver->saves;

    while (now_ns() < until || !is_now(moment, saver, saves, delay_ns)) {
        cr_assert_lt(now_ns(), give_up, "no save comes to its end");
        if (now_ns() < until)
            saves = saver->saves;
        writer_send(writer);
        writer_receive(writer);
        if (saver->step == IDLE)
            saver_begin(saver, writer->answered);
        else
            cr_assert(saver_receive(saver), "%s", process_stderr(rpd));
        struct pollfd fds[] = {{.fd = writer->fd, .events = POLLIN | POLLOUT},
                               {.fd = saver->fd, .events = POLLIN}};
        poll(fds, 2, 1);
    }
    process_signal(rpd, SIGKILL);
    process_wait_exit(rpd);
    /* Acknowledged, but not read yet. */
    for (bool more = saver->step != IDLE; more && saver->step != IDLE;)
        more = saver_receive(saver);
}

Test(kill, what_was_acknowledged_is_there_and_nothing_is_torn, .timeout = 580)
{
    const char *dir = temp_dir_make();
    const int rounds = is_long() ? 200 : 10;
    static struct writer writer;
    static struct saver saver;
    int in_saves = 0;
    long later =
        0; /* commands after the last acknowledged save, by one that was not acknowledged */

    srandom((unsigned)now_ns());
    for (int round = 0; round <= rounds; round++) {
        struct process *rpd = scene_start(dir, "", "", false);
        const int fd = scene_client(dir);
        scene_await_ready(rpd);
        const long last = check_all(fd);
        cr_assert_geq(last, saver.acknowledged, "round %d, %d", round, round % MOMENTS);
        cr_assert_leq(last, writer.sent, "round %d", round);
        later += last > saver.acknowledged;
        writer = (struct writer){.fd = scene_client(dir), .sent = last, .answered = last};
        saver.fd = fd;
        saver.background = round % 2;
        saver.step = IDLE;
        if (round < rounds)
            write_until_killed(rpd, &writer, &saver, (enum moment)(round % MOMENTS));
        in_saves += round < rounds && saver.step != IDLE;
        process_free(rpd);
        close(writer.fd);
        close(fd);
    }
    printf("%d kills, %d of them in a save, %u saves acknowledged, %ld commands, %ld times a save "
           "was there that was not acknowledged\n",
           rounds, in_saves, saver.saves, writer.sent, later);
    cr_assert_gt(in_saves, 0);
    temp_dir_remove(dir);
}
