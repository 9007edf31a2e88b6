/* Reading histories. See history_view.h.
 *
 * A line is "TIME_MS PID START_TIME EVENT CODE TEXT", the event one of "bound", "timed" and
 * "ended". It is written by one write(): one without its newline was cut short. */
#include "observe/history_view.h"

#include "base/safe_text.h"
#include "observe/state_view.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CODE_MAX = 255 }; /* as of any process */
enum { TAIL_SIZE = 32 * 1024, ENTRIES_MAX = TAIL_SIZE / (int)sizeof "1 1 1 bound 0 -" };

/* ---- a line ---------------------------------------------------------------------- */

/* Digits, then a space. */
static bool take_number(const char **at, unsigned long long max, unsigned long long *ret)
{
    char *end;

    if (!isdigit((unsigned char)**at))
        return false;
    errno = 0;
    *ret = strtoull(*at, &end, 10);
    if (errno || *ret > max || *end != ' ')
        return false;
    *at = end + 1;
    return true;
}

static bool take_word(const char **at, const char *word)
{
    const size_t size = strlen(word);

    if (strncmp(*at, word, size) != 0 || (*at)[size] != ' ')
        return false;
    *at += size + 1;
    return true;
}

static bool parse_line(const char *line, bool of_times, struct history_entry *ret)
{
    unsigned long long time_ms, pid, code;

    memset(ret, 0, sizeof *ret);
    if (!take_number(&line, UINT64_MAX, &time_ms) || !take_number(&line, INT_MAX, &pid) ||
        !take_number(&line, ULLONG_MAX, &ret->start_time))
        return false;
    ret->ended = !of_times && take_word(&line, "ended");
    if ((!ret->ended && !take_word(&line, of_times ? "timed" : "bound")) ||
        !take_number(&line, CODE_MAX, &code))
        return false;
    ret->time_ms = time_ms;
    ret->pid = (pid_t)pid;
    ret->code = (int)code;
    if (strcmp(line, "-") != 0)
        memccpy(ret->text, line, '\0', sizeof ret->text - 1);
    safe_text(ret->text);
    return true;
}

/* ---- the file --------------------------------------------------------------------- */

/* The end of the file, as a text that begins with a whole line; "" if there is none. */
static void read_tail(int fd, char ret[TAIL_SIZE + 1])
{
    struct stat status;
    off_t from;
    ssize_t size = -1;
    const char *first;

    *ret = '\0';
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return;
    from = status.st_size > TAIL_SIZE ? status.st_size - TAIL_SIZE : 0;
    size = pread(fd, ret, TAIL_SIZE, from);
    ret[size > 0 ? size : 0] = '\0';
    if (from == 0)
        return;
    first = strchr(ret, '\n');
    memmove(ret, first ? first + 1 : "", first ? strlen(first) : 1);
}

/* From the last line to the first, into the end of the array. */
static size_t parse_lines(char *text, bool of_times, struct history_entry *entries, size_t room)
{
    size_t free_entries = room;
    char *newline = strrchr(text, '\n');

    while (newline && free_entries > 0) {
        char *before;

        *newline = '\0';
        before = strrchr(text, '\n');
        if (parse_line(before ? before + 1 : text, of_times, &entries[free_entries - 1]))
            free_entries--;
        newline = before;
    }
    return room - free_entries;
}

static int read_entries(int runtime_dirfd, const char *service, bool of_times,
                        struct history_entry *ret, size_t room)
{
    const int fd = state_view_open(runtime_dirfd, service, ".history");
    char *text = fd < 0 ? NULL : malloc(TAIL_SIZE + 1);
    size_t count = 0;

    if (room > ENTRIES_MAX)
        room = ENTRIES_MAX;
    if (text) {
        read_tail(fd, text);
        count = parse_lines(text, of_times, ret, room);
        memmove(ret, ret + room - count, count * sizeof *ret);
    }
    free(text);
    if (fd >= 0)
        close(fd);
    return (int)count;
}

int history_view_read(int runtime_dirfd, const char *service, struct history_entry *ret,
                      size_t room)
{
    return read_entries(runtime_dirfd, service, false, ret, room);
}

int history_view_times(int runtime_dirfd, const char *service, struct history_entry *ret,
                       size_t room)
{
    return read_entries(runtime_dirfd, service, true, ret, room);
}

bool history_view_end(int runtime_dirfd, const char *service, pid_t pid,
                      unsigned long long start_time, struct history_entry *ret)
{
    enum { LOOKED_AT = 16 };
    struct history_entry entries[LOOKED_AT];
    int at = history_view_read(runtime_dirfd, service, entries, LOOKED_AT);

    while (at-- > 0)
        if (entries[at].ended &&
            (pid == 0 || (entries[at].pid == pid && entries[at].start_time == start_time))) {
            *ret = entries[at];
            return true;
        }
    memset(ret, 0, sizeof *ret);
    return false;
}
