/* Writes log lines. See log.h. */
#include "base/log.h"

#include "base/output.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MESSAGE_MAX = 1024 };

static struct {
    enum rpd_log_level level;
    enum log_format format;
} log_state = {RPD_LOG_INFO, LOG_TEXT};

void log_configure(enum rpd_log_level level, enum log_format format)
{
    log_state.level = level;
    log_state.format = format;
}

static const char *level_name(enum rpd_log_level level)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    return (unsigned)level < 4 ? names[level] : "info";
}

/* A client must not be able to forge a line or to move the reader's cursor. */
static size_t escape(char *to, size_t room, const char *from, enum log_format format)
{
    size_t used = 0;

    for (; *from && used + 7 < room; from++) {
        const unsigned char byte = (unsigned char)*from;

        if (byte < 0x20 || byte == 0x7f)
            used += (size_t)snprintf(to + used, room - used,
                                     format == LOG_JSON ? "\\u%04x" : "\\x%02x", byte);
        else if (format == LOG_JSON && (byte == '"' || byte == '\\')) {
            to[used++] = '\\';
            to[used++] = (char)byte;
        } else {
            to[used++] = (char)byte;
        }
    }
    to[used] = '\0';
    return used;
}

static size_t format_text(char *line, size_t room, enum rpd_log_level level, const char *subject,
                          const char *message)
{
    const char *tag = level == RPD_LOG_WARNING ? "warning: "
                      : level == RPD_LOG_DEBUG ? "debug: "
                                               : "";
    int used = subject ? snprintf(line, room, "rpd: %s: %s", subject, tag)
                       : snprintf(line, room, "rpd: %s", tag);

    return (size_t)used + escape(line + used, room - (size_t)used - 1, message, LOG_TEXT);
}

static size_t format_json(char *line, size_t room, enum rpd_log_level level, const char *subject,
                          const char *message)
{
    struct timespec now;
    struct tm day;
    char stamp[32];
    int used;
    size_t size;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &day);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &day);
    used = snprintf(line, room,
                    "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"subject\":\"%s\",\"message\":\"",
                    stamp, now.tv_nsec / 1000000, level_name(level), subject ? subject : "rpd");
    size = (size_t)used;
    size += escape(line + size, room - size - 3, message, LOG_JSON);
    line[size++] = '"';
    line[size++] = '}';
    return size;
}

/* What does not fit is dropped, and counted. */
static void write_or_drop(const char *line, size_t size)
{
    static atomic_uint dropped;
    const unsigned count = atomic_exchange(&dropped, 0);
    char note[64];

    if (count > 0 && log_state.format == LOG_TEXT &&
        !output_write(note,
                      (size_t)snprintf(note, sizeof note, "rpd: %u lines were lost\n", count)))
        atomic_fetch_add(&dropped, count);
    if (!output_write(line, size))
        atomic_fetch_add(&dropped, 1);
}

void log_vline(enum rpd_log_level level, const char *subject, const char *format, va_list arguments)
{
    char message[MESSAGE_MAX + 1];
    char line[OUTPUT_LINE_MAX];
    size_t size;

    if (level > log_state.level)
        return;
    vsnprintf(message, sizeof message, format, arguments);
    if (log_state.format == LOG_JSON)
        size = format_json(line, sizeof line, level, subject, message);
    else
        size = format_text(line, sizeof line, level, subject, message);
    line[size++] = '\n';
    write_or_drop(line, size);
}

void log_line(enum rpd_log_level level, const char *subject, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_vline(level, subject, format, arguments);
    va_end(arguments);
}
