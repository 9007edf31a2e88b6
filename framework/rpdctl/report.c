/* Reports. See rpdctl/report.h. */
#include "rpdctl/report.h"

#include "base/safe_text.h"
#include "library/libjansson.h"

#include <stdio.h>

static const char *const verdicts[] = {"passed", "failed", "skipped"};

void report_finding(const struct report *report, const struct finding *finding)
{
    if (report->format != REPORT_TEXT)
        return;
    printf("%-8s %-19s %s%s%s\n", verdicts[finding->verdict], finding->id, finding->title,
           *finding->text ? ": " : "", finding->text);
    fflush(stdout);
}

static size_t count_of(const struct report *report, enum verdict verdict)
{
    size_t count = 0;

    for (size_t i = 0; i < report->count; i++)
        count += report->findings[i].verdict == verdict;
    return count;
}

static void print_json(const struct report *report)
{
    json_t *checks = json_array();
    json_t *object;

    for (size_t i = 0; i < report->count; i++) {
        const struct finding *at = &report->findings[i];
        json_t *text = json_string(at->text);

        json_array_append_new(checks, json_pack("{ss ss ss so sf}", "id", at->id, "title",
                                                at->title, "verdict", verdicts[at->verdict], "text",
                                                text ? text : json_string("(not UTF-8)"), "seconds",
                                                at->seconds));
    }
    object = json_pack("{ss si si si so}", "plugin", report->plugin, "passed",
                       (int)count_of(report, PASSED), "failed", (int)count_of(report, FAILED),
                       "skipped", (int)count_of(report, SKIPPED), "checks", checks);
    if (!object)
        return;
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

static void print_xml_text(const char *text)
{
    bool is_control;

    for (size_t size; *text; text += size) {
        size = safe_text_character(text, &is_control);
        switch (is_control ? '?' : *text) {
        case '<': fputs("&lt;", stdout); break;
        case '>': fputs("&gt;", stdout); break;
        case '&': fputs("&amp;", stdout); break;
        case '"': fputs("&quot;", stdout); break;
        case '?': putchar('?'); break;
        default: fwrite(text, 1, size, stdout);
        }
    }
}

static void print_junit_case(const struct finding *at)
{
    static const char *const elements[] = {NULL, "failure", "skipped"};

    printf("  <testcase classname=\"rpdctl.check\" name=\"%s\" time=\"%.3f\"", at->id, at->seconds);
    if (at->verdict == PASSED) {
        puts("/>");
        return;
    }
    printf(">\n    <%s message=\"", elements[at->verdict]);
    print_xml_text(at->title);
    fputs(": ", stdout);
    print_xml_text(at->text);
    puts("\"/>\n  </testcase>");
}

static void print_junit(const struct report *report)
{
    puts("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    fputs("<testsuite name=\"rpdctl check ", stdout);
    print_xml_text(report->plugin);
    printf("\" tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\">\n", report->count,
           count_of(report, FAILED), count_of(report, SKIPPED));
    for (size_t i = 0; i < report->count; i++)
        print_junit_case(&report->findings[i]);
    puts("</testsuite>");
}

bool report_end(const struct report *report)
{
    const size_t failed = count_of(report, FAILED);

    if (report->format == REPORT_JSON)
        print_json(report);
    else if (report->format == REPORT_JUNIT)
        print_junit(report);
    else
        printf("%s: %zu passed, %zu failed, %zu skipped\n", report->plugin,
               count_of(report, PASSED), failed, count_of(report, SKIPPED));
    return failed == 0;
}
