/* ccache-storage-rpd: the program that ccache (4.13 and later) starts for
 *
 *     remote_storage = rpd:///run/user/1000/buildcache.crsh @config=/etc/rpd/buildcache.json
 *
 * It makes sure that the service of the configuration runs, as `rpdctl ensure` does, makes a
 * symbolic link from the socket that ccache wants to the service's, and ends. Nothing is bound
 * here, nothing living is unlinked, and whoever starts it how often gets the same daemon: the
 * service's lock is what makes it one.
 *
 *     CRSH_IPC_ENDPOINT   the socket that ccache connects to
 *     CRSH_URL            rpd:///SOCKET: an endpoint of the service, whose name ends in ".crsh"
 *     CRSH_NUM_ATTR, CRSH_ATTR_KEY_i, CRSH_ATTR_VALUE_i
 *                         config: from which the service is started; without it, it must run
 *                         service: its name; "buildcache" unless set
 *
 * ccache shows nothing of it: why it failed is a line in the file CRSH_IPC_ENDPOINT.error, which a
 * success removes, and on stderr. Exit codes: 0; 64: an environment that makes no sense; otherwise
 * what the start ended with. */
#include <rpd/client.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_SYSTEM = 71, ATTRIBUTES_MAX = 64 };

struct wanted {
    const char *endpoint; /* of ccache */
    const char *socket;   /* of the service */
    const char *config, *service;
};

/* ---- errors --------------------------------------------------------------------------------- */

static int make_error_path(const char *endpoint, char path[PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s.error", endpoint) < PATH_MAX ? 0 : -1;
}

static int fail(const struct wanted *wanted, int code, const char *text)
{
    char path[PATH_MAX];
    int fd = -1;

    fprintf(stderr, "ccache-storage-rpd: %s\n", text);
    if (wanted->endpoint && make_error_path(wanted->endpoint, path) == 0)
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        dprintf(fd, "ccache-storage-rpd: %s\n", text);
        close(fd);
    }
    return code;
}

static int fail_system(const struct wanted *wanted, const char *what)
{
    char text[PATH_MAX + 100];

    snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
    return fail(wanted, EXIT_SYSTEM, text);
}

static void forget_error(const struct wanted *wanted)
{
    char path[PATH_MAX];

    if (make_error_path(wanted->endpoint, path) == 0)
        unlink(path);
}

/* ---- what ccache wants ------------------------------------------------------------------------
 */

static const char *attribute(unsigned number, const char *which)
{
    char name[64];

    snprintf(name, sizeof name, "CRSH_ATTR_%s_%u", which, number);
    return getenv(name);
}

static void read_attributes(struct wanted *wanted)
{
    const char *text = getenv("CRSH_NUM_ATTR");
    const unsigned long count = text ? strtoul(text, NULL, 10) : 0;

    for (unsigned i = 0; i < count && i < ATTRIBUTES_MAX; i++) {
        const char *key = attribute(i, "KEY"), *value = attribute(i, "VALUE");

        if (key && value && strcmp(key, "config") == 0)
            wanted->config = value;
        if (key && value && strcmp(key, "service") == 0)
            wanted->service = value;
    }
}

/* "rpd:///path", "rpd:/path", "rpd://localhost/path" */
static const char *read_url(const char *url)
{
    static const char *const begins[] = {"rpd://localhost/", "rpd:///", "rpd:/"};
    size_t i = 0;

    while (url && i < sizeof begins / sizeof *begins &&
           strncmp(url, begins[i], strlen(begins[i])) != 0)
        i++;
    if (!url || i == sizeof begins / sizeof *begins)
        return NULL;
    url += strlen(begins[i]) - 1;
    return url[1] == '/' ? NULL : url; /* "rpd://host" */
}

static int read_wanted(struct wanted *wanted)
{
    const struct sockaddr_un address;

    *wanted = (struct wanted){.endpoint = getenv("CRSH_IPC_ENDPOINT"),
                              .socket = read_url(getenv("CRSH_URL")),
                              .service = "buildcache"};
    read_attributes(wanted);
    if (!wanted->endpoint || *wanted->endpoint != '/')
        return fail(&(struct wanted){0}, EXIT_USAGE,
                    "CRSH_IPC_ENDPOINT is not set: ccache starts this program, with its "
                    "remote_storage = rpd:///SOCKET.crsh @config=FILE");
    if (!wanted->socket || strlen(wanted->socket) >= sizeof address.sun_path)
        return fail(wanted, EXIT_USAGE,
                    "CRSH_URL: write rpd:///SOCKET with the path of the service's endpoint that "
                    "ends in .crsh, of at most 107 bytes");
    if (wanted->config && *wanted->config != '/')
        return fail(wanted, EXIT_USAGE, "config: write an absolute path");
    return 0;
}

/* ---- the link ------------------------------------------------------------------------------- */

static bool links_to(const char *path, const char *target)
{
    char found[PATH_MAX];
    const ssize_t size = readlink(path, found, sizeof found - 1);

    if (size < 0)
        return false;
    found[size] = '\0';
    return strcmp(found, target) == 0;
}

/* Replaces whatever is there at one moment: a link of before, or a socket that a helper has left.
 * A helper that lives keeps its open connections, and nobody is refused in between. */
static int make_link(const struct wanted *wanted)
{
    char made[PATH_MAX];

    if (links_to(wanted->endpoint, wanted->socket))
        return 0;
    if (snprintf(made, sizeof made, "%s.%d", wanted->endpoint, (int)getpid()) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    unlink(made);
    if (symlink(wanted->socket, made) < 0)
        return -1;
    if (rename(made, wanted->endpoint) < 0) {
        const int error = errno;
        unlink(made);
        errno = error;
        return -1;
    }
    return 0;
}

/* The service runs, but perhaps not with this endpoint. */
static int check_socket(const struct wanted *wanted)
{
    struct stat status;
    char text[PATH_MAX + 200];

    if (stat(wanted->socket, &status) == 0 && S_ISSOCK(status.st_mode))
        return 0;
    snprintf(text, sizeof text, "%s: it is no socket; add \"unix:%s\" to \"listen\" of service %s",
             wanted->socket, wanted->socket, wanted->service);
    return fail(wanted, EXIT_USAGE, text);
}

int main(void)
{
    struct rpd_client_error error;
    struct wanted wanted;
    int code = read_wanted(&wanted);

    if (code)
        return code;
    umask(077);
    if (chdir("/") < 0)
        return fail_system(&wanted, "/");
    if (rpd_ensure(wanted.config, wanted.service, &error) < 0)
        return fail(&wanted, error.code ? error.code : EXIT_SYSTEM, error.text);
    code = check_socket(&wanted);
    if (code)
        return code;
    if (make_link(&wanted) < 0)
        return fail_system(&wanted, wanted.endpoint);
    forget_error(&wanted);
    return 0;
}
