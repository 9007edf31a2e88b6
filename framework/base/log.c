/* Writes log lines. See log.h. */
#include "base/log.h"

#include "base/clock.h"
#include "base/log_limit.h"
#include "base/output.h"
#include "base/safe_text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MESSAGE_MAX = 1024 };

/* Subjects that have a level of their own. The list only grows. */
struct subject_level {
    struct subject_level *next;
    char subject[64];
    atomic_int level;
};

static struct {
    _Atomic(enum rpd_log_level) level;
    _Atomic(struct subject_level *) levels;
    _Atomic(enum log_format) format;
    atomic_bool is_limited;
    pthread_mutex_t mutex; /* for the limit */
    struct log_limit limit;
} log_state = {.level = RPD_LOG_INFO, .format = LOG_TEXT, .mutex = PTHREAD_MUTEX_INITIALIZER};

/* Another thread of the parent may have held the locks. */
static void free_locks_in_child(void)
{
    pthread_mutex_init(&log_state.mutex, NULL);
    output_keep_zone();
}

void log_change(enum rpd_log_level level, enum log_format format, unsigned a_second)
{
    log_state.level = level;
    log_state.format = format;
    output_put_time(format == LOG_TEXT);
    pthread_mutex_lock(&log_state.mutex);
    log_state.limit.a_second = a_second;
    pthread_mutex_unlock(&log_state.mutex);
    log_state.is_limited = a_second > 0;
}

void log_configure(enum rpd_log_level level, enum log_format format, unsigned a_second)
{
    log_change(level, format, a_second);
    pthread_atfork(NULL, NULL, free_locks_in_child); /* without memory: a child may hang */
}

static struct subject_level *find_level(const char *subject)
{
    struct subject_level *at = subject ? atomic_load(&log_state.levels) : NULL;

    while (at && strcmp(at->subject, subject) != 0)
        at = at->next;
    return at;
}

void log_set_level(const char *subject, enum rpd_log_level level)
{
    struct subject_level *own = find_level(subject);

    if (own) {
        atomic_store(&own->level, (int)level);
        return;
    }
    own = calloc(1, sizeof *own);
    if (!own)
        return;
    snprintf(own->subject, sizeof own->subject, "%s", subject);
    atomic_init(&own->level, (int)level);
    own->next = atomic_load(&log_state.levels);
    atomic_store(&log_state.levels, own);
}

bool log_has_level(const char *subject, enum rpd_log_level *ret)
{
    struct subject_level *own = find_level(subject);

    if (own)
        *ret = (enum rpd_log_level)atomic_load(&own->level);
    return own != NULL;
}

static bool is_written(enum rpd_log_level level, const char *subject)
{
    struct subject_level *own = find_level(subject);

    return (int)level <= (own ? atomic_load(&own->level) : (int)log_state.level);
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

    while (*from && used + 9 < room) {
        const unsigned char byte = (unsigned char)*from;
        bool is_control;
        const size_t size = safe_text_character(from, &is_control);

        is_control |= size == 1 && byte >= 0x80; /* it is not UTF-8 */
        if (is_control) /* a two-byte character's number is its second byte */
            used += (size_t)snprintf(to + used, room - used,
                                     format == LOG_JSON ? "\\u%04x" : "\\x%02x",
                                     (unsigned char)from[size - 1]);
        else if (format == LOG_JSON && (byte == '"' || byte == '\\')) {
            to[used++] = '\\';
            to[used++] = (char)byte;
        } else {
            memcpy(to + used, from, size);
            used += size;
        }
        from += size;
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

static enum output_priority priority_of(enum rpd_log_level level)
{
    static const enum output_priority priorities[] = {OUTPUT_ERROR, OUTPUT_WARNING, OUTPUT_INFO,
                                                      OUTPUT_DEBUG};

    return (unsigned)level < 4 ? priorities[level] : OUTPUT_INFO;
}

/* A line that does not fit is dropped and counted. */
static void write_or_drop(enum rpd_log_level level, const char *line, size_t size,
                          const struct journal_fields *fields)
{
    static atomic_uint dropped;
    const unsigned count = atomic_exchange(&dropped, 0);
    char note[64];

    if (count > 0 && log_state.format == LOG_TEXT &&
        !output_write(OUTPUT_WARNING, note,
                      (size_t)snprintf(note, sizeof note, "rpd: %u lines were lost\n", count)))
        atomic_fetch_add(&dropped, count);
    if (!output_write_with(priority_of(level), line, size, fields))
        atomic_fetch_add(&dropped, 1);
}

static void write_message(enum rpd_log_level level, const char *subject, const char *part,
                          const char *message)
{
    const struct journal_fields fields = {subject, part, journal_message_id(message)};
    char line[OUTPUT_LINE_MAX];
    size_t size;

    if (log_state.format == LOG_JSON)
        size = format_json(line, sizeof line, level, subject, message);
    else
        size = format_text(line, sizeof line, level, subject, message);
    line[size++] = '\n';
    output_note_zone();
    output_look();
    write_or_drop(level, line, size, &fields);
}

/* The reason why the daemon ends must be seen, however much else was logged. */
static bool is_limited(enum rpd_log_level level, const char *subject)
{
    return log_state.is_limited && (subject || level != RPD_LOG_ERROR);
}

RPD_PRINTF(3, 0)
static bool is_left_out(enum rpd_log_level level, const char *subject, const char *format,
                        va_list arguments)
{
    struct log_cause *cause;

    pthread_mutex_lock(&log_state.mutex);
    cause = log_limit_count(&log_state.limit, subject, format, clock_us());
    if (cause && cause->left_out == 1) {
        cause->level = (int)level;
        snprintf(cause->subject, sizeof cause->subject, "%s", subject ? subject : "");
        vsnprintf(cause->sample, sizeof cause->sample, format, arguments);
    }
    pthread_mutex_unlock(&log_state.mutex);
    return cause;
}

static bool take_left_out(bool all, struct log_cause *ret)
{
    bool found;

    pthread_mutex_lock(&log_state.mutex);
    found = log_limit_take(&log_state.limit, clock_us(), all, ret);
    pthread_mutex_unlock(&log_state.mutex);
    return found;
}

void log_tell_left_out(bool all)
{
    struct log_cause cause;
    char message[MESSAGE_MAX + 1];

    while (take_left_out(all, &cause)) {
        snprintf(message, sizeof message, "%llu more such lines were left out (log.limit): %s",
                 (unsigned long long)cause.left_out, cause.sample);
        write_message((enum rpd_log_level)cause.level, *cause.subject ? cause.subject : NULL, NULL,
                      message);
    }
}

bool log_owes_left_out(void)
{
    bool owes;

    pthread_mutex_lock(&log_state.mutex);
    owes = log_limit_owes(&log_state.limit);
    pthread_mutex_unlock(&log_state.mutex);
    return owes;
}

static RPD_PRINTF(4, 0) void write_line(enum rpd_log_level level, const char *subject,
                                        const char *part, const char *format, va_list arguments)
{
    char message[MESSAGE_MAX + 1];
    va_list sample;
    bool left_out = false;

    if (!is_written(level, subject))
        return;
    va_copy(sample, arguments);
    if (is_limited(level, subject))
        left_out = is_left_out(level, subject, format, sample);
    va_end(sample);
    if (left_out)
        return;
    vsnprintf(message, sizeof message, format, arguments);
    write_message(level, subject, part, message);
}

void log_vline(enum rpd_log_level level, const char *subject, const char *format, va_list arguments)
{
    write_line(level, subject, NULL, format, arguments);
}

/* A backend chooses the names of its parts: they must not end a field of the journal. */
void log_part(enum rpd_log_level level, const char *subject, const char *part, const char *format,
              ...)
{
    char name[64];
    va_list arguments;

    snprintf(name, sizeof name, "%s", part);
    safe_text(name);
    va_start(arguments, format);
    write_line(level, subject, name, format, arguments);
    va_end(arguments);
}

void log_line(enum rpd_log_level level, const char *subject, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_vline(level, subject, format, arguments);
    va_end(arguments);
}
