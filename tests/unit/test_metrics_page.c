/* Metrics: histograms, a backend's table, the page as it is written and read, whatever bytes it
 * holds, and the text for other programs, checked with promtool. */
#include "observe/metrics_text.h"
#include "process.h"
#include "publish/metrics_page.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- histograms ---- */

Test(histogram, each_value_is_in_its_bucket)
{
    for (unsigned i = 0; i < RPD_HISTOGRAM_BUCKETS; i++) {
        cr_expect_eq(rpd_histogram_bucket(rpd_histogram_from(i)), i);
        if (i > 0)
            cr_expect_eq(rpd_histogram_bucket(rpd_histogram_from(i) - 1), i - 1);
    }
    cr_expect_eq(rpd_histogram_bucket(UINT64_MAX), RPD_HISTOGRAM_BUCKETS - 1);
    cr_expect_eq(rpd_histogram_from(RPD_HISTOGRAM_BUCKETS - 1), UINT64_C(1) << 38);
}

Test(histogram, a_quantile_is_at_most_a_quarter_too_high)
{
    struct rpd_histogram histogram = {0};

    for (uint64_t value = 1; value <= 1000; value++)
        rpd_metric_observe(&histogram.sum, value);
    cr_expect_eq(histogram.sum, 500500);
    cr_expect_eq(metrics_histogram_count(&histogram), 1000);
    for (int part = 1; part <= 100; part++) {
        const uint64_t found = metrics_histogram_quantile(&histogram, part / 100.0);
        cr_expect_geq(found, (uint64_t)part * 10);
        cr_expect_leq(found, (uint64_t)part * 10 + (uint64_t)part * 10 / 4 + 1);
    }
}

/* ---- tables ---- */

Test(metrics_table, mistakes_are_found)
{
    static const struct {
        struct rpd_metric rows[3];
        const char *mistake; /* a part; NULL: none */
    } cases[] = {
        {{RPD_COUNTER("a", "", "A"), RPD_METRICS_END}, NULL},
        {{RPD_COUNTER_OF("a", "k=1", "us", "A"), RPD_COUNTER_OF("a", "k=2", "us", "A"),
          RPD_METRICS_END},
         NULL},
        {{RPD_COUNTER("A", "", "A"), RPD_METRICS_END}, "small letters"},
        {{RPD_COUNTER("", "", "A"), RPD_METRICS_END}, "small letters"},
        {{RPD_COUNTER("a-b", "", "A"), RPD_METRICS_END}, "small letters"},
        {{RPD_COUNTER("a2345678901234567890123456789012345678901234567x", "", "A"),
          RPD_METRICS_END},
         "small letters"},
        {{RPD_COUNTER("rpd_a", "", "A"), RPD_METRICS_END}, "rpd's own"},
        {{RPD_COUNTER("a_total", "", "A"), RPD_METRICS_END}, "readers add"},
        {{RPD_GAUGE("a_bucket", "", "A"), RPD_METRICS_END}, "readers add"},
        {{RPD_COUNTER("a", "m/s", "A"), RPD_METRICS_END}, "unit"},
        {{RPD_COUNTER("a", "", NULL), RPD_METRICS_END}, "meaning"},
        {{RPD_COUNTER_OF("a", "k", "", "A"), RPD_METRICS_END}, "labels"},
        {{RPD_COUNTER_OF("a", "le=1", "", "A"), RPD_METRICS_END}, "labels"},
        {{RPD_COUNTER_OF("a", "service=x", "", "A"), RPD_METRICS_END}, "labels"},
        {{{"a", "", "A", NULL, (enum rpd_metric_type)9}, RPD_METRICS_END}, "type"},
        {{RPD_COUNTER("a", "", "A"), RPD_COUNTER("a", "", "A"), RPD_METRICS_END}, "labels"},
        {{RPD_COUNTER_OF("a", "k=1", "", "A"), RPD_GAUGE_OF("a", "k=2", "", "A"), RPD_METRICS_END},
         "another type"},
        {{RPD_COUNTER_OF("a", "k=1", "", "A"), RPD_COUNTER_OF("a", "k=2", "us", "A"),
          RPD_METRICS_END},
         "another type"},
    };
    size_t row;

    cr_expect_null(metrics_table_mistake(NULL, &row));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *mistake = metrics_table_mistake(cases[i].rows, &row);
        if (!cases[i].mistake)
            cr_expect_null(mistake, "case %zu: %s", i, mistake);
        else
            cr_expect(mistake && strstr(mistake, cases[i].mistake), "case %zu: %s", i,
                      mistake ? mistake : "(none)");
    }
}

Test(metrics_table, rows_of_a_name_stand_together)
{
    static const struct rpd_metric apart[] = {RPD_COUNTER_OF("a", "k=1", "", "A"),
                                              RPD_COUNTER("b", "", "B"),
                                              RPD_COUNTER_OF("a", "k=2", "", "A"), RPD_METRICS_END};
    size_t row;

    cr_expect_str_eq(metrics_table_mistake(apart, &row), "rows of its name do not stand together");
    cr_expect_eq(row, 2);
}

/* ---- the page ---- */

enum { HITS, TIMES };

static const struct rpd_metric rows[] = {
    [HITS] = RPD_COUNTER_OF("t_hits", "k=a \"b\" \\", "bytes", "Hits"),
    [TIMES] = RPD_HISTOGRAM("t_time", "us", "Times"),
    RPD_METRICS_END,
};

static const char *dir;
static int dirfd_of;
static struct metrics_page page;

static void begin(void)
{
    struct error error;

    dir = temp_dir_make();
    dirfd_of = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    metrics_page_init(&page);
    cr_assert_eq(metrics_page_make(&page, "demo", rows), 0);
    rpd_metric_add(page.metrics[METRICS + HITS], 3); /* before it is published */
    cr_assert_eq(metrics_page_publish(&page, dirfd_of, dir, "", 17, &error), 0, "%s", error.text);
}

static void end(void)
{
    metrics_page_remove(&page);
    metrics_page_finish(&page);
    close(dirfd_of);
    temp_dir_remove(dir);
}

TestSuite(metrics_page, .init = begin, .fini = end);

static const struct metrics_row *find(const struct metrics_view *view, const char *name)
{
    for (size_t i = 0; i < view->count; i++)
        if (strcmp(view->rows[i].name, name) == 0)
            return &view->rows[i];
    cr_assert_fail("%s is not there", name);
    return NULL;
}

Test(metrics_page, what_is_written_is_read)
{
    struct metrics_view view;
    uint64_t *added = metrics_page_add(&page, "t_part", "us", "A part", "part", "x\ny\x9b\xff");

    rpd_metric_add(page.metrics[METRICS + HITS], 2);
    rpd_metric_observe(page.metrics[METRICS + TIMES], 1000);
    rpd_metric_set(added, -5);
    cr_assert_eq(metrics_view_read(dirfd_of, "demo", &view), 0, "%s", strerror(errno));
    cr_expect_eq(view.count, METRICS + 3);
    cr_expect_eq(view.start_time, 17);
    cr_expect_eq(find(&view, "t_hits")->value, 5);
    cr_expect_str_eq(find(&view, "t_hits")->labels[0].value, "a \"b\" \\");
    cr_expect_eq(find(&view, "t_time")->histogram.sum, 1000);
    cr_expect_eq(find(&view, "t_part")->value, -5);
    cr_expect_str_eq(find(&view, "t_part")->labels[0].value, "x y??");
    metrics_view_finish(&view);
}

Test(metrics_page, has_room_for_so_many_parts_and_no_more)
{
    struct metrics_view view;

    for (int i = 0; i < 1000; i++)
        rpd_metric_add(metrics_page_add(&page, "t_part", "", "A part", "part", textf("%d", i)), 1);
    cr_assert_eq(metrics_view_read(dirfd_of, "demo", &view), 0);
    cr_expect_eq(view.count, METRICS + 2 + 128);
    metrics_view_finish(&view);
}

Test(metrics_page, heals_with_what_it_has_counted)
{
    struct metrics_view view;

    unlinkat(dirfd_of, "demo.metrics", 0);
    cr_assert_not(metrics_page_is_whole(&page));
    cr_assert_eq(metrics_page_heal(&page), 1);
    cr_assert_eq(metrics_page_heal(&page), 0);
    rpd_metric_add(page.metrics[METRICS + HITS], 1);
    cr_assert_eq(metrics_view_read(dirfd_of, "demo", &view), 0);
    cr_expect_eq(find(&view, "t_hits")->value, 4);
    metrics_view_finish(&view);
}

/* A process that may write to the page may write anything. */
Test(metrics_page, a_damaged_one_is_read_without_harm)
{
    static char text[1 << 20];
    const char *path = textf("%s/demo.metrics", dir);
    struct rpd_metrics_page header;
    struct metrics_services services;
    unsigned seed = 1;

    for (int i = 0; i < 2000; i++) {
        char *file = (char *)page.map;
        const size_t at = (size_t)rand_r(&seed) % (i % 2 ? page.size : 700);
        const char before = file[at];
        file[at] = (char)rand_r(&seed);
        FILE *to = fmemopen(text, sizeof text, "w");
        cr_assert_eq(metrics_services_read(dirfd_of, "demo", &services), 0);
        cr_assert_eq(metrics_text_print(&services, METRICS_OPENMETRICS, to), 0);
        fclose(to);
        for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
            cr_assert(strchr(line, '\n') && (*line == '#' || (*line >= 'a' && *line <= 'z')),
                      "byte %zu: %.80s", at, line);
        metrics_services_finish(&services);
        file[at] = before;
    }
    memcpy(&header, page.map, sizeof header);
    header.entry_count = UINT32_MAX;
    file_write(path, &header, sizeof header);
    struct metrics_view view;
    cr_expect_eq(metrics_view_read(dirfd_of, "demo", &view), -1);
    cr_expect_eq(errno, EPROTO);
    metrics_view_finish(&view);
}

Test(metrics_page, a_value_beyond_the_end_is_no_value)
{
    struct rpd_metric_entry *entry = (struct rpd_metric_entry *)(void *)((char *)page.map +
                                                                         page.map->entries_at) +
                                     METRICS;
    struct metrics_view view;

    entry->at = (uint32_t)page.size - 4 - 4; /* the last word is there */
    cr_assert_eq(metrics_view_read(dirfd_of, "demo", &view), 0);
    cr_expect_eq(view.count, METRICS + 2);
    metrics_view_finish(&view);
    entry->at = (uint32_t)page.size;
    cr_assert_eq(metrics_view_read(dirfd_of, "demo", &view), 0);
    cr_expect_eq(view.count, METRICS + 1);
    metrics_view_finish(&view);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (; (text = strstr(text, part)); text++)
        count++;
    return count;
}

/* Otherwise a reader of the text would refuse all of it. */
Test(metrics_page, rows_that_say_the_same_are_printed_once)
{
    static char text[1 << 20];
    struct metrics_services services;
    FILE *to = fmemopen(text, sizeof text, "w");

    metrics_page_add(&page, "t_part", "us", "A part", "part", "one");
    metrics_page_add(&page, "t_part", "us", "A part", "part", "one");
    metrics_page_add(&page, "t_part", "ms", "Another unit", "part", "two");
    cr_assert_eq(metrics_services_read(dirfd_of, "demo", &services), 0);
    cr_assert_eq(metrics_text_print(&services, METRICS_OPENMETRICS, to), 0);
    fclose(to);
    metrics_services_finish(&services);
    cr_expect_eq(count_of(text, "\nt_part_seconds{"), 1, "%s", strstr(text, "t_part"));
    cr_expect_eq(count_of(text, "# TYPE t_part_seconds "), 1);
}

/* ---- the text, checked by another program ---- */

Test(metrics_page, promtool_takes_the_older_text)
{
    const char *path = textf("%s/text", dir);
    struct metrics_services services;
    FILE *to = fopen(path, "w");

    if (access("/usr/bin/promtool", X_OK) != 0)
        cr_skip("no promtool here");
    metrics_page_add(&page, "t_part", "us", "A part", "part", "a \"b\" \\ \n\xff");
    rpd_metric_observe(page.metrics[METRICS + TIMES], 1000);
    cr_assert_eq(metrics_services_read(dirfd_of, NULL, &services), 0);
    cr_assert_eq(services.count, 0, "there is neither a lock nor a record");
    metrics_services_finish(&services);
    cr_assert_eq(metrics_services_read(dirfd_of, "demo", &services), 0);
    cr_assert_eq(metrics_text_print(&services, METRICS_TEXT_0_0_4, to), 0);
    metrics_services_finish(&services);
    fclose(to);
    struct process *p = process_start(&(struct process_options){
        .argv = ARGS("/bin/sh", "-c", textf("promtool check metrics <%s", path))});
    cr_expect_eq(process_code(process_wait_exit(p)), 0, "%s%s", process_stdout(p),
                 process_stderr(p));
    process_free(p);
}
