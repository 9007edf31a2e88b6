/* A service manager that does not read for a while, and that has a watchdog. See provoke.h. */
#include "provoke.h"

/* ---- row 65 ------------------------------------------------------------------------ */

/* Fills the manager's socket with other processes' messages. */
static void fill_manager(const struct stage *stage)
{
    const char *path = stage_manager_path(stage);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path) + 1);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    while (send(fd, "STATUS=noise", 12, 0) > 0)
        continue;
    cr_assert_eq(errno, EAGAIN, "%s", strerror(errno));
    close(fd);
}

/* The manager does not read meanwhile. */
static void pass(void)
{
    poll(NULL, 0, is_long() ? 10000 : 1000);
}

/* The manager reads again, up to this message. */
static void hear(struct stage *stage, const char *wanted)
{
    char message[2048];

    do {
        const ssize_t got = recv(stage->manager, message, sizeof message - 1, 0);
        cr_assert_gt(got, 0, "no %s: %s\n%s", wanted, strerror(errno), process_stderr(stage->rpd));
        message[got] = '\0';
    } while (!strstr(message, wanted));
}

void provoke_slow_manager(struct stage *stage, const char *variant)
{
    (void)variant;
    fill_manager(stage);
    stage_open_gate(stage);
    assert_line(stage->rpd, "faulty: ready (");
    pass();
    stage_assert_alive(stage);
    hear(stage, "READY=1");
}

void provoke_watchdog(struct stage *stage, const char *variant)
{
    if (strcmp(variant, "it does not read") == 0) {
        fill_manager(stage);
        pass();
        stage_assert_alive(stage);
    }
    for (int i = 0; i < 3; i++)
        hear(stage, "WATCHDOG=1");
}

void arrange_slow_manager(struct stage *stage, const char *variant)
{
    (void)variant;
    fill_manager(stage);
}

void provoke_after_slow_manager(struct stage *stage, const char *variant)
{
    (void)variant;
    pass();
    hear(stage, "STOPPING=1");
}
