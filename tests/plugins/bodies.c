/* A backend that calls the functions of rpd/body.h, rpd/job.h and rpd/service.h that its clients
 * name. A line is one of
 *
 *     send NAME OFFSET SIZE   answers "<", that part of a file in the directory, and ">\n"
 *     later NAME OFFSET SIZE  likewise, from a timer
 *     leave NAME OFFSET SIZE  likewise, and aborts the connection before that is over
 *     bad HOW                 a call that must fail: its errno
 *     take SIZE HOW           receives a body: to a function that sums it up; HOW: sum, fail, leave
 *                             (it calls pthread_exit()), wait (until the file go is there), finish
 *                             (likewise, and meanwhile the connection is finished; a small body,
 *                             which is taken when all of it has come); or file
 *     job HOW                 answers by a job; HOW: plain, wait, many (ten of them), last
 * (finishes the connection while it runs) queue N                 so many jobs of a serial queue,
 * beside as many of another post N                  a job that posts so often; its done is answered
 * with how many came thread-post N           likewise, by a thread of the plugin's own timer MS
 * "late" by how many ms it came, or "EARLY" cancel                  a timer that is cancelled
 * beside one that is not peer, listener, room, data, part  what rpd_conn_peer() and so on say; what
 * on_part was told stop WHY                rpd_stop(), twice thread                  [loop]
 * functions on a worker: what they return
 *
 * What happens without a client is a line on stderr. At the stop, a line there says whether all
 * that began has ended. */
#include <rpd/backend.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("directory", "/nowhere", "where files are"),
    RPD_OPTION_STRING("missing", "", "a part that fails"),
    RPD_OPTIONS_END,
};

static int begun, ended;
static struct rpd_queue *queues[2];

struct op {
    struct rpd_service *service;
    struct rpd_conn *conn;
    int fd, number, count;
    size_t size;
    unsigned sum;
    char how[256];
    uint64_t began_ms;
    const char *directory;
};

static void say(const char *text, const char *detail)
{
    char line[300];

    snprintf(line, sizeof line, "test: %s%s\n", text, detail);
    if (write(STDERR_FILENO, line, strlen(line)) < 0)
        return;
}

static const char *name_of(int error)
{
    return error ? strerrorname_np(error) : "ok";
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *path_of(const char *directory, const char *name)
{
    static _Thread_local char path[512];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static struct op *begin(struct rpd_conn *conn)
{
    struct op *op = calloc(1, sizeof *op);

    if (!op)
        abort();
    op->service = rpd_conn_service(conn);
    op->conn = conn;
    op->fd = -1;
    op->directory = rpd_option_string(op->service, "directory");
    begun++;
    return op;
}

static void end(struct op *op)
{
    if (op->fd >= 0)
        close(op->fd);
    free(op);
    ended++;
}

/* ---- files and bodies ---- */

static void on_sent(struct rpd_conn *conn, void *arg, int error)
{
    if (!conn)
        say("sent without its client: ", name_of(error));
    else if (error)
        say("WRONG: not sent to its client: ", name_of(error));
    end(arg);
}

static void send_part(struct rpd_conn *conn, const char *line)
{
    struct op *op = begin(conn);
    char name[64] = "";
    unsigned long long offset = 0, size = 0;

    sscanf(line, "send %63s %llu %llu", name, &offset, &size);
    op->fd = open(path_of(op->directory, name), O_RDONLY | O_CLOEXEC);
    rpd_conn_write(conn, "<", 1);
    if (rpd_conn_send_file(conn, op->fd, offset, size, on_sent, op) < 0) {
        rpd_conn_printf(conn, "%s>\n", name_of(errno));
        end(op);
        return;
    }
    rpd_conn_write(conn, ">\n", 2);
}

static void send_and_leave(struct rpd_conn *conn, const char *line)
{
    char text[256];

    snprintf(text, sizeof text, "send %s", line + strlen("leave "));
    send_part(conn, text);
    rpd_conn_abort(conn);
}

static void on_send_later(struct rpd_service *service, void *arg)
{
    struct op *op = arg;

    (void)service;
    if (rpd_conn_is_open(op->conn))
        send_part(op->conn, op->how);
    rpd_conn_release(op->conn);
    end(op);
}

static void send_later(struct rpd_conn *conn, const char *line)
{
    struct op *op = begin(conn);

    snprintf(op->how, sizeof op->how, "send %s", line + strlen("later "));
    rpd_conn_keep(conn);
    if (!rpd_timer(op->service, 0, on_send_later, op))
        abort();
}

static bool waits_for_go(const struct op *op)
{
    return (strcmp(op->how, "wait") == 0 || strcmp(op->how, "finish") == 0) &&
           access(path_of(op->directory, "go"), F_OK) != 0;
}

static void on_post_finish(struct rpd_service *service, void *arg)
{
    (void)service;
    rpd_conn_finish(((struct op *)arg)->conn);
}

static int sink(void *arg, const void *data, size_t size)
{
    struct op *op = arg;

    for (size_t i = 0; i < size; i++)
        op->sum = op->sum * 31 + ((const unsigned char *)data)[i];
    op->size += size;
    if (strcmp(op->how, "finish") == 0 && rpd_post(op->service, on_post_finish, op) < 0)
        say("WRONG: a sink cannot post", "");
    while (waits_for_go(op))
        usleep(1000);
    if (strcmp(op->how, "leave") == 0)
        pthread_exit(NULL);
    return strcmp(op->how, "fail") == 0 ? ENOSPC : 0;
}

static void on_taken(struct rpd_conn *conn, void *arg, int error)
{
    struct op *op = arg;

    if (conn && error)
        rpd_conn_printf(conn, "error %s\n", name_of(error));
    else if (conn)
        rpd_conn_printf(conn, "got %zu %u\n", op->size, op->sum);
    else
        say("taken without its client: ", name_of(error));
    end(op);
}

static void take(struct rpd_conn *conn, const char *line)
{
    struct op *op = begin(conn);
    unsigned long long size = 0;
    int begins;

    sscanf(line, "take %llu %15s", &size, op->how);
    if (strcmp(op->how, "file") == 0) {
        op->fd = open(path_of(op->directory, "taken"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                      0600);
        begins = rpd_conn_receive_file(conn, size, op->fd, 0, on_taken, op);
    } else {
        begins = rpd_conn_receive(conn, size, sink, on_taken, op);
    }
    if (begins < 0) {
        rpd_conn_printf(conn, "%s\n", name_of(errno));
        end(op);
    } else if (rpd_conn_receive(conn, 1, sink, on_taken, op) == 0 || errno != EBUSY) {
        say("WRONG: two bodies at once: ", name_of(errno));
    } else if (rpd_conn_input(conn).size > 0) {
        say("WRONG: it is shown the body", "");
    }
}

/* Whether the body of "take SIZE finish" has not begun yet. */
static bool lacks_body(const struct rpd_conn *conn)
{
    const struct rpd_span input = rpd_conn_input(conn);
    char text[64];
    size_t size;
    int length = 0;

    snprintf(text, sizeof text, "%.*s", (int)(input.size < 60 ? input.size : 60), input.data);
    return sscanf(text, "take %zu finish\n%n", &size, &length) == 1 && length > 0 &&
           input.size < (size_t)length + size;
}

static void call_badly(struct rpd_conn *conn, const char *how)
{
    const char *directory = rpd_option_string(rpd_conn_service(conn), "directory");
    const char *file = path_of(directory, "file");
    const bool receives = strncmp(how, "to ", 3) == 0;
    const char *what = receives ? how + 3 : how;
    int fd = -1, pipe_fds[2] = {-1, -1}, result;
    uint64_t offset = 0, size = 1;

    if (strcmp(what, "directory") == 0)
        fd = open(directory, O_RDONLY | O_CLOEXEC);
    else if (strcmp(what, "mode") == 0)
        fd = open(file, (receives ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
    else if (strcmp(what, "append") == 0)
        fd = open(file, O_WRONLY | O_APPEND | O_CLOEXEC);
    else if (strcmp(what, "path") == 0)
        fd = open(file, O_PATH | O_CLOEXEC);
    else if (strcmp(what, "pipe") == 0 && pipe2(pipe_fds, O_CLOEXEC) == 0)
        fd = pipe_fds[receives];
    else if (strcmp(what, "descriptor") != 0)
        fd = open(file, (receives ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    if (strcmp(what, "offset") == 0)
        offset = UINT64_MAX;
    if (strcmp(what, "size") == 0)
        size = UINT64_MAX;
    result = receives ? rpd_conn_receive_file(conn, size, fd, offset, on_taken, NULL)
                      : rpd_conn_send_file(conn, fd, offset, size, on_sent, NULL);
    if (strcmp(what, "no sink") == 0)
        result = rpd_conn_receive(conn, 1, NULL, on_taken, NULL);
    rpd_conn_printf(conn, "%d %s\n", result, name_of(errno));
    if (pipe_fds[0] < 0)
        close(fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* ---- jobs ---- */

static void run_job(struct rpd_job *job, void *arg)
{
    struct op *op = arg;

    if (strcmp(op->how, "wait") == 0)
        say("a job waits", "");
    while (strcmp(op->how, "wait") == 0 && !rpd_job_cancelled(job) &&
           access(path_of(op->directory, "go"), F_OK) != 0)
        usleep(1000);
    op->count++;
}

static void on_answered(struct rpd_conn *conn, void *arg, int error)
{
    struct op *op = arg;

    if (conn)
        rpd_conn_printf(conn, "job %d %s\n", op->number, name_of(error));
    else
        say("answered without its client: ", name_of(error));
    end(op);
}

static void answer_by_jobs(struct rpd_conn *conn, const char *how)
{
    const int count = strcmp(how, "many") == 0 ? 10 : 1;

    for (int i = 0; i < count; i++) {
        struct op *op = begin(conn);

        op->number = i;
        snprintf(op->how, sizeof op->how, "%s", strcmp(how, "last") == 0 ? "wait" : how);
        if (rpd_conn_job(conn, run_job, on_answered, op) < 0) {
            rpd_conn_printf(conn, "%s\n", name_of(errno));
            end(op);
        }
    }
    if (strcmp(how, "last") == 0)
        rpd_conn_finish(conn);
}

/* ---- queues, posts, timers ---- */

static struct {
    atomic_int running[2], most[2];
    int next[2], left, wrong;
    struct rpd_conn *conn;
} queued;

static void run_queued(struct rpd_job *job, void *arg)
{
    const struct op *op = arg;
    const int which = op->count;
    const int now = atomic_fetch_add(&queued.running[which], 1) + 1;

    (void)job;
    if (now > atomic_load(&queued.most[which]))
        atomic_store(&queued.most[which], now);
    usleep(op->number % 7 == 0 ? 500 : 0);
    atomic_fetch_sub(&queued.running[which], 1);
}

static void on_queued(struct rpd_service *service, void *arg, bool cancelled)
{
    struct op *op = arg;

    (void)service;
    queued.wrong += cancelled || op->number != queued.next[op->count]++;
    if (--queued.left == 0) {
        rpd_conn_printf(queued.conn, "most %d %d wrong %d\n", queued.most[0], queued.most[1],
                        queued.wrong);
        rpd_conn_release(queued.conn);
    }
    end(op);
}

static void use_queues(struct rpd_conn *conn, int count)
{
    memset(&queued, 0, sizeof queued);
    queued.conn = conn;
    queued.left = 2 * count;
    rpd_conn_keep(conn);
    for (int i = 0; i < 2 * count; i++) {
        struct op *op = begin(conn);

        op->number = i / 2;
        op->count = i % 2;
        if (rpd_queue_submit(queues[i % 2], run_queued, on_queued, op) < 0)
            abort();
    }
}

static void on_post(struct rpd_service *service, void *arg)
{
    (void)service;
    ((struct op *)arg)->count++;
}

static void run_posts(struct rpd_job *job, void *arg)
{
    struct op *op = arg;
    (void)job;
    for (int i = 0; i < op->number; i++)
        if (rpd_post(op->service, on_post, op) < 0)
            say("WRONG: a job cannot post", "");
}

static void on_posts(struct rpd_conn *conn, void *arg, int error)
{
    struct op *op = arg;
    (void)error;
    if (conn)
        rpd_conn_printf(conn, "came %d\n", op->count);
    end(op);
}

static void on_last_post(struct rpd_service *service, void *arg)
{
    struct op *op = arg;

    (void)service;
    rpd_conn_printf(op->conn, "came %d\n", op->count);
    rpd_conn_release(op->conn);
    end(op);
}

static void *post_on_own_thread(void *arg)
{
    struct op *op = arg;

    for (int i = 0; i < op->number; i++)
        if (rpd_post(op->service, on_post, op) < 0)
            say("WRONG: a thread cannot post", "");
    if (rpd_post(op->service, on_last_post, op) < 0)
        say("WRONG: a thread cannot post", "");
    return NULL;
}

static void post_by_thread(struct rpd_conn *conn, int count)
{
    struct op *op = begin(conn);
    pthread_t thread;

    op->number = count;
    rpd_conn_keep(conn);
    if (pthread_create(&thread, NULL, post_on_own_thread, op) != 0)
        abort();
    pthread_detach(thread);
}

static void on_timer(struct rpd_service *service, void *arg)
{
    struct op *op = arg;
    const uint64_t passed_ms = now_ms() - op->began_ms;

    (void)service;
    if (passed_ms + 1 < op->size) /* now_ms() truncates */
        rpd_conn_printf(op->conn, "EARLY: %d of %zu\n", (int)passed_ms, op->size);
    else
        rpd_conn_printf(op->conn, "late %d\n", (int)(passed_ms - op->size));
    rpd_conn_release(op->conn);
    end(op);
}

static struct rpd_timer_handle *start_timer(struct rpd_conn *conn, unsigned milliseconds)
{
    struct op *op = begin(conn);

    op->began_ms = now_ms();
    op->size = milliseconds;
    rpd_conn_keep(conn);
    return rpd_timer(op->service, milliseconds, on_timer, op);
}

static void never(struct rpd_service *service, void *arg)
{
    (void)service, (void)arg;
    say("WRONG: a cancelled timer", "");
}

/* ---- on a worker ---- */

static void run_calls(struct rpd_job *job, void *arg)
{
    struct op *op = arg;
    int refused = 0;

    (void)job;
    refused += rpd_conn_job(op->conn, run_calls, on_answered, op) == -1;
    refused += rpd_conn_send_file(op->conn, 0, 0, 1, NULL, NULL) == -1;
    refused += rpd_conn_receive(op->conn, 1, sink, NULL, NULL) == -1;
    refused += rpd_conn_receive_file(op->conn, 1, 0, 0, NULL, NULL) == -1;
    refused += rpd_conn_output_room(op->conn) == 0;
    refused += !rpd_timer(op->service, 1, never, NULL);
    refused += !rpd_queue_create(op->service);
    refused += rpd_queue_submit(queues[0], run_calls, on_queued, op) == -1;
    rpd_queue_free(queues[0]);
    rpd_timer_cancel(NULL);
    rpd_stop(op->service, "WRONG: by a worker");
    rpd_service_set_data(op->service, NULL);
    op->number = refused;
}

/* ---- the rest ---- */

static char parts[512];

static void on_part(struct rpd_service *service, const char *name, enum rpd_part_outcome outcome)
{
    static const char *const outcomes[] = {"attached", "tried again", "missing"};
    const size_t used = strlen(parts);

    (void)service;
    snprintf(parts + used, sizeof parts - used, "%s %s;", name, outcomes[outcome]);
}

static void *load_part(struct rpd_load *load)
{
    if (*(const char *)rpd_load_arg(load))
        return rpd_load_fail(load, "it is to fail");
    return parts;
}

static void *load(struct rpd_load *load)
{
    const char *missing = rpd_option_string(rpd_load_service(load), "missing");
    const struct rpd_load_part good = {"good", load_part, NULL, NULL, (void *)(uintptr_t) "",
                                       false};
    const struct rpd_load_part bad = {missing, load_part, NULL, NULL, (void *)(uintptr_t)missing,
                                      true};

    if (!rpd_service_data(rpd_load_service(load)))
        say("WRONG: load has no data", "");
    if (*missing && rpd_load_add_part(load, &bad) < 0)
        return NULL;
    return rpd_load_add_part(load, &good) < 0 ? NULL : parts;
}

static int claim(struct rpd_service *service)
{
    rpd_service_set_data(service, (void *)(uintptr_t) "set by claim");
    return 0;
}

static void describe_peer(struct rpd_conn *conn)
{
    const struct rpd_peer peer = rpd_conn_peer(conn);

    rpd_conn_printf(conn, "%lld %lld %lld '%s'\n", (long long)peer.uid, (long long)peer.gid,
                    (long long)peer.pid, peer.address);
}

static void do_as_told(struct rpd_conn *conn, const char *line)
{
    struct rpd_service *service = rpd_conn_service(conn);
    struct op *op;

    if (strncmp(line, "queue ", 6) == 0) {
        use_queues(conn, atoi(line + 6));
    } else if (strncmp(line, "thread-post ", 12) == 0) {
        post_by_thread(conn, atoi(line + 12));
    } else if (strncmp(line, "post ", 5) == 0 || strcmp(line, "thread") == 0) {
        op = begin(conn);
        op->number = atoi(line + 4);
        if (rpd_conn_job(conn, line[0] == 'p' ? run_posts : run_calls,
                         line[0] == 'p' ? on_posts : on_answered, op) < 0)
            abort();
    } else if (strncmp(line, "timer ", 6) == 0) {
        start_timer(conn, (unsigned)atoi(line + 6));
    } else if (strcmp(line, "cancel") == 0) {
        rpd_timer_cancel(rpd_timer(service, 1, never, NULL));
        start_timer(conn, 20);
    } else if (strcmp(line, "listener") == 0) {
        rpd_conn_printf(conn, "%s\n", rpd_listener_text(rpd_conn_listener(conn)));
    } else if (strcmp(line, "peer") == 0) {
        describe_peer(conn);
    } else if (strcmp(line, "room") == 0) {
        rpd_conn_printf(conn, "%zu\n", rpd_conn_output_room(conn));
    } else if (strcmp(line, "data") == 0) {
        rpd_conn_printf(conn, "%s\n", (const char *)rpd_service_data(service));
    } else if (strcmp(line, "part") == 0) {
        rpd_conn_printf(conn, "%s\n", parts);
    } else if (strncmp(line, "stop ", 5) == 0) {
        rpd_stop(service, line + 5);
        rpd_stop(service, "WRONG: the second reason");
    } else {
        rpd_conn_printf(conn, "what is that?\n");
    }
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    while (!lacks_body(conn) && rpd_conn_read_line(conn, &line)) {
        char text[256];

        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
        if (strncmp(text, "send ", 5) == 0)
            send_part(conn, text);
        else if (strncmp(text, "later ", 6) == 0)
            send_later(conn, text);
        else if (strncmp(text, "leave ", 6) == 0)
            send_and_leave(conn, text);
        else if (strncmp(text, "take ", 5) == 0)
            take(conn, text);
        else if (strncmp(text, "bad ", 4) == 0)
            call_badly(conn, text + 4);
        else if (strncmp(text, "job ", 4) == 0)
            answer_by_jobs(conn, text + 4);
        else
            do_as_told(conn, text);
    }
}

static void on_close(struct rpd_conn *conn, void *state)
{
    static char mark;

    (void)state;
    if (rpd_conn_data(conn))
        say("WRONG: closed twice", "");
    rpd_conn_set_data(conn, &mark);
}

static void on_ready(struct rpd_service *service, void *state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        queues[i] = rpd_queue_create(service);
}

static void stop(struct rpd_service *service, void *state)
{
    (void)state;
    rpd_queue_free(queues[0]); /* the other one goes by itself */
    if (rpd_post(service, on_post, NULL) == 0 || rpd_timer(service, 0, never, NULL))
        say("WRONG: there is a post, or a timer, after stop", "");
    say(begun == ended ? "balanced" : "NOT BALANCED", "");
}

RPD_BACKEND(bodies, .options = options, .load = load, .on_ready = on_ready, .on_data = on_data,
            .on_close = on_close, .stop = stop, .claim = claim, .on_part = on_part,
            .idle_exit_s = 3600);
