/* Starts processes, on the loop. A client names one of
 *
 *     system   the result of the C library's "system" for "exit 3"
 *     orphan   a grandchild whose parent has ended, and that ends, too
 *     child    a child that ends at once; "wait" is its exit code
 *     ended    how many processes of this namespace have ended and are not reaped yet */
#include <rpd/backend.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static int run_system(void)
{
    int (*const run)(const char *) = system; /* this is what the test is about */
    const int status = run("exit 3");

    return status < 0 ? -1 : WEXITSTATUS(status);
}

static int make_orphan(void)
{
    const pid_t parent = fork();

    if (parent == 0) {
        if (fork() == 0)
            usleep(100000);
        _exit(0);
    }
    return waitpid(parent, NULL, 0) == parent ? 0 : -1;
}

static int make_child(void)
{
    child = fork();
    if (child == 0)
        _exit(5);
    return 0;
}

static int wait_for_child(void)
{
    int status;

    return waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1;
}

static int count_ended(void)
{
    DIR *stream = opendir("/proc");
    int count = 0;

    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        char path[300], line[512] = "";
        FILE *stat;

        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        stat = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "re") : NULL;
        if (!stat)
            continue;
        if (fgets(line, sizeof line, stat) && strstr(line, ") Z "))
            count++;
        fclose(stat);
    }
    if (stream)
        closedir(stream);
    return count;
}

static const struct {
    const char *name;
    int (*act)(void);
} acts[] = {{"system", run_system},
            {"orphan", make_orphan},
            {"child", make_child},
            {"wait", wait_for_child},
            {"ended", count_ended}};

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line))
        for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
            if (line.size == strlen(acts[i].name) &&
                memcmp(line.data, acts[i].name, line.size) == 0)
                rpd_conn_printf(conn, "%d\n", acts[i].act());
}

RPD_BACKEND(children, .summary = "Starts processes", .on_data = on_data);
