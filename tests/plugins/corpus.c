/* A backend with a bind of its own, and the acts of such plugins, right and wrong ones: one act in
 * bind, named by TEST_BIND, and one in the constructor, named by TEST_CONSTRUCTOR. Without them it
 * is well-behaved. It echoes lines. */
#include <rpd/backend.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Opened by the constructor, for a bind that uses it. */
static int inherited = -1;

/* The results do not matter, only the calls. */
static volatile long result;

static void on_nothing(int number)
{
    (void)number;
}

static void *return_at_once(void *unused)
{
    return unused;
}

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

/* ---- wrong in bind: calls that are not allowed ---- */

static void do_open(void)
{
    result = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
}

static void do_create(void)
{
    result = open("/tmp/rpd-test-corpus", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static void do_read(void)
{
    char byte;

    result = read(inherited, &byte, 1);
}

static void do_pread(void)
{
    char byte;

    result = pread(inherited, &byte, 1, 0);
}

static void do_write(void)
{
    result = write(inherited, "x", 1);
}

static void do_stat(void)
{
    struct stat status;

    result = stat("/etc/hostname", &status);
}

static void do_access(void)
{
    result = access("/etc/hostname", F_OK);
}

static void do_readlink(void)
{
    char text[64];

    result = readlink("/proc/self/exe", text, sizeof text);
}

static void do_map(void)
{
    result = (long)mmap(NULL, 1, PROT_READ, MAP_PRIVATE, inherited, 0);
}

static void do_list(void)
{
    char entries[512];

    result = syscall(SYS_getdents64, inherited, entries, sizeof entries);
}

static void do_io_uring(void)
{
    result = syscall(SYS_io_uring_setup, 1, NULL);
}

static void do_fork(void)
{
    const pid_t child = fork();

    if (child == 0)
        _exit(0);
    if (child > 0)
        waitpid(child, NULL, 0);
}

static void do_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, return_at_once, NULL) == 0)
        pthread_join(thread, NULL);
}

static void do_connect(void)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    result = connect(fd, (const struct sockaddr *)&address, sizeof address);
    close(fd);
}

static void do_send(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    result = send(pair[0], "x", 1, MSG_NOSIGNAL);
    close(pair[0]);
    close(pair[1]);
}

static void do_unlink(void)
{
    result = unlink("/tmp/rpd-test-corpus-none");
}

static void do_mkdir(void)
{
    result = mkdir("/proc/rpd-test-corpus", 0700);
}

static void do_rename(void)
{
    result = rename("/tmp/rpd-test-corpus-none", "/tmp/rpd-test-corpus-other");
}

static void do_chdir(void)
{
    result = chdir("/");
}

static void do_dlopen(void)
{
    result = dlopen("libno-such-library.so", RTLD_NOW) != NULL;
}

static void do_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 64;
    result = setrlimit(RLIMIT_NOFILE, &limit);
}

static void do_kill(void)
{
    result = kill(getpid(), 0);
}

static void do_memfd(void)
{
    const int fd = memfd_create("corpus", MFD_CLOEXEC);

    if (fd >= 0)
        close(fd);
}

static void do_prctl(void)
{
    result = prctl(PR_SET_NAME, "corpus");
}

static void do_exec(void)
{
    char *const none[] = {NULL};

    result = execve("/nonexistent", none, none);
}

/* Would make the next breach fatal. */
static void do_block_sigsys(void)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    do_open();
}

static void do_handle_sigsys(void)
{
    const struct sigaction action = {.sa_handler = on_nothing};

    result = sigaction(SIGSYS, &action, NULL);
}

static void do_sleep(void)
{
    const struct timespec second = {.tv_sec = 1};

    for (;;)
        nanosleep(&second, NULL);
}

/* ---- wrong in bind: descriptors, and the process ---- */

static void leave_pipe(void)
{
    int ends[2];

    result = pipe2(ends, O_CLOEXEC);
}

static void leave_socket(void)
{
    result = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int first_open(void)
{
    int fd = STDERR_FILENO + 1;

    while (fcntl(fd, F_GETFD) < 0)
        fd++;
    return fd;
}

static void close_one(void)
{
    close(first_open());
}

static void replace_one(void)
{
    const int victim = first_open(), other = eventfd(0, EFD_CLOEXEC);

    dup3(other, victim, O_CLOEXEC);
    close(other);
}

static void change_umask(void)
{
    umask(0);
}

static void handle_sigterm(void)
{
    const struct sigaction action = {.sa_handler = on_nothing};

    sigaction(SIGTERM, &action, NULL);
}

/* ---- right in bind ---- */

static void use_memory(void)
{
    char *memory = malloc(10 << 20);

    if (memory)
        memset(memory, 1, 10 << 20);
    free(memory);
}

static void use_text(void)
{
    char text[64];

    snprintf(text, sizeof text, "%f %s", (double)time(NULL) / 3, strerror(errno));
    fprintf(stderr, "test: %s\n", text);
}

static void use_random(void)
{
    char bytes[16];

    result = getrandom(bytes, sizeof bytes, 0);
}

static void use_descriptors(void)
{
    int ends[2];
    const int event = eventfd(0, EFD_CLOEXEC);

    close(event);
    if (pipe2(ends, O_CLOEXEC) == 0) {
        close(ends[0]);
        close(ends[1]);
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) {
        close(ends[0]);
        close(ends[1]);
    }
}

static void use_signal_mask(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void use_clock(void)
{
    const struct timespec moment = {.tv_nsec = 1000};
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    nanosleep(&moment, NULL);
}

/* ---- wrong in a constructor ---- */

static void mask_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void handle_sigsegv(void)
{
    const struct sigaction action = {.sa_handler = on_nothing};

    sigaction(SIGSEGV, &action, NULL);
}

static void change_locale(void)
{
    setlocale(LC_ALL, strcmp(setlocale(LC_ALL, NULL), "C") == 0 ? "C.UTF-8" : "C");
}

static void change_thread_locale(void)
{
    uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

static void start_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, wait_for_ever, NULL) == 0)
        pthread_detach(thread);
}

static void listen_early(void)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};

    inherited = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(inherited, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(inherited, 8) < 0)
        abort();
}

static void open_file(void)
{
    inherited = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
}

static void open_directory(void)
{
    inherited = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void open_program(void)
{
    inherited = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

/* Replaces the file of another plugin, TEST_VICTIM, with a copy of itself, between rpd's check and
 * its load. */
static void swap_victim(void)
{
    const char *victim = getenv("TEST_VICTIM"), *other = getenv("TEST_OTHER");

    if (victim && other)
        result = rename(other, victim);
}

static const struct {
    const char *name;
    void (*act)(void);
} acts[] = {
    {"open", do_open},
    {"create", do_create},
    {"read", do_read},
    {"pread", do_pread},
    {"write", do_write},
    {"stat", do_stat},
    {"access", do_access},
    {"readlink", do_readlink},
    {"map", do_map},
    {"list", do_list},
    {"io_uring", do_io_uring},
    {"fork", do_fork},
    {"thread", do_thread},
    {"connect", do_connect},
    {"send", do_send},
    {"unlink", do_unlink},
    {"mkdir", do_mkdir},
    {"rename", do_rename},
    {"chdir", do_chdir},
    {"dlopen", do_dlopen},
    {"limit", do_limit},
    {"kill", do_kill},
    {"memfd", do_memfd},
    {"prctl", do_prctl},
    {"exec", do_exec},
    {"block_sigsys", do_block_sigsys},
    {"handle_sigsys", do_handle_sigsys},
    {"sleep", do_sleep},
    {"leave_pipe", leave_pipe},
    {"leave_socket", leave_socket},
    {"close_one", close_one},
    {"replace_one", replace_one},
    {"umask", change_umask},
    {"handle_sigterm", handle_sigterm},
    {"use_memory", use_memory},
    {"use_text", use_text},
    {"use_random", use_random},
    {"use_descriptors", use_descriptors},
    {"use_signal_mask", use_signal_mask},
    {"use_clock", use_clock},
    {"mask_signals", mask_signals},
    {"handle_sigsegv", handle_sigsegv},
    {"locale", change_locale},
    {"thread_locale", change_thread_locale},
    {"start_thread", start_thread},
    {"listen_early", listen_early},
    {"open_file", open_file},
    {"open_directory", open_directory},
    {"open_program", open_program},
    {"swap_victim", swap_victim},
};

/* Whether there is an act with this name. */
static bool do_act(const char *name)
{
    for (size_t i = 0; name && i < sizeof acts / sizeof *acts; i++) {
        if (strcmp(acts[i].name, name) == 0) {
            acts[i].act();
            return true;
        }
    }
    return false;
}

__attribute__((constructor)) static void constructor(void)
{
    const char *name = getenv("TEST_CONSTRUCTOR");

    if (name && !do_act(name))
        abort();
}

/* ---- sockets of its own ---- */

static struct rpd_bound bind_with_options(const struct rpd_endpoint *endpoint)
{
    const int on = 1, seconds = 5;
    socklen_t length;
    const struct sockaddr *address = rpd_endpoint_address(endpoint, &length);
    const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (address->sa_family == AF_UNIX) {
        fchmod(fd, 0600);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
    }
    if (bind(fd, address, length) < 0 || listen(fd, rpd_endpoint_backlog(endpoint)) < 0)
        return rpd_bound_io(errno);
    return rpd_bound_listening(fd);
}

static struct rpd_bound do_bind(const struct rpd_endpoint *endpoint)
{
    const char *name = getenv("TEST_BIND");

    if (!name)
        return rpd_bind_plainly(endpoint);
    if (strcmp(name, "options") == 0)
        return bind_with_options(endpoint);
    if (strcmp(name, "inherited") == 0)
        return rpd_bound_listening(inherited);
    if (!do_act(name))
        return rpd_bound_other("the test asks for an act that there is not: %s", name);
    return rpd_bind_plainly(endpoint);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    struct rpd_span line;

    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "%.*s\n", (int)line.size, line.data);
}

RPD_BACKEND_BIND(do_bind);
RPD_BACKEND(corpus, .summary = "Does what it is told to", .on_data = on_data);
