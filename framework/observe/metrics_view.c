/* Reading metrics. See metrics_view.h. */
#include "observe/metrics_view.h"

#include "base/safe_text.h"
#include "observe/state_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char small[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

/* ---- texts ------------------------------------------------------------------------------- */

/* A field of the page need not end. */
static void take_text(char *to, size_t room, const char *from, size_t size)
{
    const size_t length = strnlen(from, size < room ? size : room - 1);

    memcpy(to, from, length);
    to[length] = '\0';
}

/* Bytes that are no UTF-8, and control characters, become '?'. */
static void make_safe(char *text)
{
    safe_text(text);
    while (*text) {
        bool is_control;
        const size_t size = safe_text_character(text, &is_control);

        if (size == 1 && (unsigned char)*text >= 0x80)
            *text = '?';
        text += size;
    }
}

static bool is_word(const char *text)
{
    return *text >= 'a' && *text <= 'z' && text[strspn(text, small)] == '\0';
}

/* "key=value", a line each. */
static bool take_labels(struct metrics_row *row, const char *text)
{
    while (*text) {
        const size_t size = strcspn(text, "\n"), key_size = strcspn(text, "=\n");
        struct metrics_label *label = &row->labels[row->label_count];

        if (row->label_count == sizeof row->labels / sizeof *row->labels || text[key_size] != '=' ||
            key_size >= sizeof label->key)
            return false;
        take_text(label->key, sizeof label->key, text, key_size);
        take_text(label->value, sizeof label->value, text + key_size + 1, size - key_size - 1);
        make_safe(label->value);
        if (!is_word(label->key))
            return false;
        row->label_count++;
        text += size + (text[size] == '\n');
    }
    return true;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static bool take_value(struct metrics_row *row, const char *file, size_t size, uint32_t at)
{
    const bool is_histogram = row->type == RPD_METRIC_HISTOGRAM;
    const size_t value_size = is_histogram ? sizeof row->histogram : sizeof row->value;

    if (at % sizeof(uint64_t) != 0 || at > size || size - at < value_size)
        return false;
    if (is_histogram)
        memcpy(&row->histogram, file + at, value_size);
    else
        memcpy(&row->value, file + at, value_size);
    return true;
}

static bool take_row(struct metrics_row *row, const char *file, size_t size,
                     const struct rpd_metric_entry *entry)
{
    char labels[sizeof entry->labels + 1];

    memset(row, 0, sizeof *row);
    take_text(row->name, sizeof row->name, entry->name, sizeof entry->name);
    take_text(row->unit, sizeof row->unit, entry->unit, sizeof entry->unit);
    take_text(row->meaning, sizeof row->meaning, entry->meaning, sizeof entry->meaning);
    take_text(labels, sizeof labels, entry->labels, sizeof entry->labels);
    make_safe(row->meaning);
    row->type = (enum rpd_metric_type)entry->type;
    return is_word(row->name) && (!*row->unit || is_word(row->unit)) &&
           entry->type >= RPD_METRIC_COUNTER && entry->type <= RPD_METRIC_HISTOGRAM &&
           take_labels(row, labels) && take_value(row, file, size, entry->at);
}

/* ---- the file ------------------------------------------------------------------------------ */

static bool is_page(const struct rpd_metrics_page *page, size_t size)
{
    return size >= sizeof *page &&
           memcmp(page->magic, RPD_METRICS_MAGIC, sizeof page->magic) == 0 &&
           page->layout == RPD_METRICS_LAYOUT && page->size == size &&
           page->entry_size >= sizeof(struct rpd_metric_entry) && page->entries_at <= size &&
           page->entry_count <= (size - page->entries_at) / page->entry_size;
}

static int take_rows(struct metrics_view *view, const char *file, size_t size)
{
    struct rpd_metrics_page page;

    if (size < sizeof page) {
        errno = EPROTO;
        return -1;
    }
    memcpy(&page, file, sizeof page);
    if (!is_page(&page, size)) {
        errno = EPROTO;
        return -1;
    }
    view->pid = page.pid;
    view->start_time = page.start_time;
    view->rows = calloc(page.entry_count ? page.entry_count : 1, sizeof *view->rows);
    if (!view->rows)
        return -1;
    for (uint32_t i = 0; i < page.entry_count; i++) {
        struct rpd_metric_entry entry;

        memcpy(&entry, file + page.entries_at + (size_t)i * page.entry_size, sizeof entry);
        view->count += take_row(&view->rows[view->count], file, size, &entry);
    }
    return 0;
}

/* NULL and errno. */
static char *read_file(int fd, size_t *ret_size)
{
    struct stat status;
    char *file;
    ssize_t size;

    if (fstat(fd, &status) < 0)
        return NULL;
    if (!S_ISREG(status.st_mode) || status.st_size > RPD_METRICS_SIZE_MAX) {
        errno = EPROTO;
        return NULL;
    }
    file = malloc((size_t)status.st_size + 1);
    if (!file)
        return NULL;
    size = pread(fd, file, (size_t)status.st_size, 0);
    *ret_size = size > 0 ? (size_t)size : 0;
    return file;
}

int metrics_view_read(int runtime_dirfd, const char *service, struct metrics_view *ret)
{
    const int fd = state_view_open(runtime_dirfd, service, ".metrics");
    size_t size = 0;
    char *file;
    int failed = -1, cause;

    memset(ret, 0, sizeof *ret);
    if (fd < 0) {
        if (errno == ELOOP || errno == ENXIO) /* a symbolic link; a socket */
            errno = EPROTO;
        return -1;
    }
    file = read_file(fd, &size);
    if (file)
        failed = take_rows(ret, file, size);
    cause = errno;
    free(file);
    close(fd);
    errno = cause;
    return failed;
}

void metrics_view_finish(struct metrics_view *view)
{
    free(view->rows);
    memset(view, 0, sizeof *view);
}

/* ---- histograms ------------------------------------------------------------------------------ */

uint64_t metrics_histogram_count(const struct rpd_histogram *histogram)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < RPD_HISTOGRAM_BUCKETS; i++)
        count += histogram->buckets[i];
    return count;
}

/* The highest value that belongs to the bucket. */
uint64_t metrics_histogram_quantile(const struct rpd_histogram *histogram, double part)
{
    const double wanted = part * (double)metrics_histogram_count(histogram);
    uint64_t count = 0;

    for (unsigned i = 0; i < RPD_HISTOGRAM_BUCKETS - 1; i++) {
        count += histogram->buckets[i];
        if (count > 0 && (double)count >= wanted)
            return rpd_histogram_from(i + 1) - 1;
    }
    return count > 0 ? rpd_histogram_from(RPD_HISTOGRAM_BUCKETS - 1) : 0;
}
