/* What `rpdctl check` has found, as text, JSON or JUnit's XML. */
#ifndef FRAMEWORK_RPDCTL_REPORT_H
#define FRAMEWORK_RPDCTL_REPORT_H

#include "rpdctl/kit.h"

enum report_format { REPORT_TEXT, REPORT_JSON, REPORT_JUNIT };

struct finding {
    const char *id, *title;
    enum verdict verdict;
    double seconds;
    char text[KIT_TEXT_MAX];
};

struct report {
    enum report_format format;
    const char *plugin;
    struct finding *findings;
    size_t count;
};

/* Reports a finding at once, as a line of text, if text is wanted. */
void report_finding(const struct report *report, const struct finding *finding);

/* Writes the rest of the report. Returns whether nothing failed. */
bool report_end(const struct report *report);

#endif
