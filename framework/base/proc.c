/* What /proc says. See proc.h. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssize_t read_file(const char *path, char *to, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, to, room - 1);
    const int cause = errno;

    if (fd >= 0)
        close(fd);
    to[size > 0 ? size : 0] = '\0';
    errno = cause;
    return size;
}

void proc_boot_id(char ret_text[BOOT_ID_SIZE])
{
    read_file("/proc/sys/kernel/random/boot_id", ret_text, BOOT_ID_SIZE);
}

static int hex_digit(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr(digits, digit);

    return at ? (int)(at - digits) : -1;
}

void proc_parse_boot_id(const char *text, uint8_t ret_id[BOOT_ID_BYTES])
{
    uint8_t id[BOOT_ID_BYTES] = {0};
    size_t digits = 0;

    for (; *text && digits < 2 * sizeof id; text++) {
        const int digit = hex_digit(*text);

        if (digit < 0)
            continue; /* a dash */
        id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | digit);
        digits++;
    }
    if (digits < 2 * sizeof id)
        memset(id, 0, sizeof id);
    memcpy(ret_id, id, sizeof id);
}

int proc_read_stat(const char *pid, struct proc_stat *ret)
{
    enum { FIELDS_TO_START_TIME = 20 };
    char path[64], text[1024];
    const char *at;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    if (read_file(path, text, sizeof text) < 0)
        return -1;
    /* The name, in brackets, may itself hold spaces and brackets. */
    at = strrchr(text, ')');
    if (at && at[1] == ' ') {
        ret->state = at[2];
        for (int i = 0; at && i < FIELDS_TO_START_TIME; i++)
            at = strchr(at + 1, ' ');
        if (at) {
            ret->start_time = strtoull(at, NULL, 10);
            return 0;
        }
    }
    errno = EPROTO;
    return -1;
}
