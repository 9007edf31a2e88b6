/* The log under a flood: each cause has a burst, then a number of lines per second, and the rest is
 * counted. The sum is right; log.limit sets and removes the limit. */
#include "common.h"

enum { LINES = 10000 };

static struct process *start(const char *log, const char **ret_endpoint)
{
    const char *dir = temp_dir_make(), *config = textf("%s/rpd.json", temp_dir_make());

    *ret_endpoint = textf("unix:%s/x.sock", dir);
    write_text(config, textf("{\"log\":{%s},\"services\":[{\"name\":\"kv\",\"plugin\":\"%s\","
                             "\"listen\":[\"%s\"]}]}",
                             log, test_plugin("faulty"), *ret_endpoint));
    struct process *rpd = RPD_START(textf("%s/run", dir), "-c", config);
    assert_bound(rpd);
    return rpd;
}

/* The sum of the counts in the log. */
static size_t sum_of_counts(const char *text, const char *before)
{
    size_t sum = 0;

    for (const char *at = text; (at = strstr(at, before)); at++) {
        const char *number = at + strlen(before);
        char *end;
        const unsigned long count = strtoul(number, &end, 10);

        if (end != number && strncmp(end, " more such lines were left out", 30) == 0)
            sum += count;
    }
    return sum;
}

static void flood(struct process *rpd, const char *endpoint)
{
    const char *answer = ask_once(endpoint, "now log");

    assert_text(answer, "did log", rpd);
    assert_stops(rpd);
}

Test(log, a_cause_is_limited_and_counted)
{
    const char *endpoint;
    struct process *rpd = start("", &endpoint);

    flood(rpd, endpoint);
    const char *text = process_stderr(rpd);
    const size_t lines = lines_with(text, "kv: warning: test line ");
    cr_assert(lines >= 50 && lines <= 500, "%zu lines", lines);
    cr_assert_eq(lines + sum_of_counts(text, "kv: warning: "), LINES, "%zu lines in\n%s", lines,
                 text);
    cr_assert_eq(lines_with(text, "test: another cause"), 1, "%s", text);
    cr_assert_eq(lines_with(text, "kv: stopped"), 1, "%s", text);
}

Test(log, the_limit_can_be_set)
{
    const char *endpoint;
    struct process *rpd = start("\"limit\":1", &endpoint);

    flood(rpd, endpoint);
    const size_t lines = lines_with(process_stderr(rpd), "kv: warning: test line ");
    cr_assert(lines >= 5 && lines <= 50, "%zu lines", lines);
}

/* Lines that are not read in time are lost, and counted separately. */
Test(log, the_limit_can_be_removed)
{
    const char *endpoint;
    struct process *rpd = start("\"limit\":0", &endpoint);

    flood(rpd, endpoint);
    const char *text = process_stderr(rpd);
    cr_assert_gt(lines_with(text, "kv: warning: test line "), 500);
    cr_assert_eq(sum_of_counts(text, "kv: warning: "), 0);
}

Test(log, counts_are_json_where_lines_are)
{
    const char *endpoint;
    struct process *rpd = start("\"format\":\"json\"", &endpoint);

    flood(rpd, endpoint);
    const char *text = process_stderr(rpd);
    const size_t lines = lines_with(text, "\"subject\":\"kv\",\"message\":\"test line ");
    cr_assert_eq(lines + sum_of_counts(text, "\"subject\":\"kv\",\"message\":\""), LINES, "%s",
                 text);
}
