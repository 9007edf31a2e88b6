/* rpdctl doctor: what is wrong, or will be, with the machine, the run-time directory, services, a
 * configuration and units; and what to do about it. See rpdctl/doctor/doctor.h. */
#include "rpdctl/doctor/doctor.h"

#include "base/safe_text.h"
#include "observe/service_names.h"
#include "observe/state_view.h"
#include "rpdctl/command_line.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl doctor [NAME | CONFIG] [--json]\n"
    "\n"
    "Looks for what is wrong, or soon will be: on the machine (kernel, limits, /proc), in the\n"
    "run-time directory (rights, space, leftovers), with each service, or the named one (loop,\n"
    "endpoints, errors, crashes, build, plugin and configuration against the running ones,\n"
    "snapshots), with units of systemd; with CONFIG, in a file that is or shall be started (rpd "
    "-t,\n"
    "paths, ports, limits). A CONFIG has a slash or a dot in its name. Nothing is changed; the "
    "only\n"
    "code of plugins that runs is what rpd -t runs.\n"
    "\n"
    "A line each: PASS, WARN or FAIL, and what to do. The verdict is the last line.\n"
    "\n"
    "      --json   one JSON document: findings, each with outcome, subject, check, text and "
    "remedy;\n"
    "               and verdict: \"sound\", \"warnings\" or \"faults\"\n"
    "\n"
    "Exit codes: 0 nothing fails, perhaps with warnings, 1 something fails, 64 bad command line.\n";

enum { JSON = 256, TEXT_MAX = 2048, DOCTOR_VERSION = 1 };

static const char *const words[DOCTOR_OUTCOMES] = {"PASS", "WARN", "FAIL"};

/* ---- findings ---------------------------------------------------------------------------- */

static json_t *text_of(const char *text)
{
    json_t *json = json_string(text);

    return json ? json : json_string("(it is no UTF-8)");
}

static void report(struct doctor *doctor, enum doctor_outcome outcome, const char *subject,
                   const char *check, const char *remedy, char *text)
{
    static const char *const outcomes[DOCTOR_OUTCOMES] = {"pass", "warn", "fail"};

    doctor->counts[outcome]++;
    safe_text(text);
    if (doctor->findings)
        json_array_append_new(doctor->findings,
                              json_pack("{ss so ss so ss?}", "outcome", outcomes[outcome],
                                        "subject", text_of(subject), "check", check, "text",
                                        text_of(text), "remedy", remedy));
    else
        printf("%s  %s: %s: %s%s%s\n", words[outcome], subject, check, text, remedy ? "; " : "",
               remedy ? remedy : "");
}

void doctor_find(struct doctor *doctor, enum doctor_outcome outcome, const char *subject,
                 const char *check, const char *remedy, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    report(doctor, outcome, subject, check, remedy, text);
}

void doctor_find_error(struct doctor *doctor, enum doctor_outcome outcome, const char *subject,
                       const char *check, const char *line)
{
    char text[TEXT_MAX];

    snprintf(text, sizeof text, "%s", line);
    report(doctor, outcome, subject, check, NULL, text);
}

/* ---- what is looked at ---------------------------------------------------------------------- */

static void look_at_all(struct doctor *doctor)
{
    struct service_names names;

    if (doctor->runtime_dirfd < 0)
        return;
    if (service_names_read(doctor->runtime_dirfd, &names) < 0)
        doctor_find(doctor, DOCTOR_FAIL, doctor->runtime_dir, "services", "look at its rights",
                    "it cannot be read");
    for (size_t i = 0; i < names.count; i++)
        doctor_service(doctor, names.names[i], false);
    service_names_finish(&names);
}

static bool is_config(const char *name)
{
    return strpbrk(name, "/.") != NULL;
}

static void look(struct doctor *doctor, const char *name)
{
    doctor_machine(doctor);
    doctor_runtime(doctor);
    if (!name)
        look_at_all(doctor);
    else if (is_config(name))
        doctor_config(doctor, name);
    else
        doctor_service(doctor, name, true);
    doctor_units(doctor, name && !is_config(name) ? name : NULL);
}

/* ---- the verdict ---------------------------------------------------------------------------- */

static const char *verdict_of(const struct doctor *doctor)
{
    return doctor->counts[DOCTOR_FAIL]   ? "faults"
           : doctor->counts[DOCTOR_WARN] ? "warnings"
                                         : "sound";
}

static void print_verdict(const struct doctor *doctor)
{
    const unsigned *counts = doctor->counts;
    const unsigned all = counts[DOCTOR_PASS] + counts[DOCTOR_WARN] + counts[DOCTOR_FAIL];

    if (counts[DOCTOR_FAIL] + counts[DOCTOR_WARN] == 0)
        printf("sound: %u checks\n", all);
    else
        printf("%s: %u of %u checks fail, %u warn\n", verdict_of(doctor), counts[DOCTOR_FAIL], all,
               counts[DOCTOR_WARN]);
}

static int print_json(struct doctor *doctor)
{
    json_t *document = json_pack("{si so ss}", "version", DOCTOR_VERSION, "findings",
                                 doctor->findings, "verdict", verdict_of(doctor));

    if (!document || json_dumpf(document, stdout, JSON_INDENT(2)) < 0) {
        rpdctl_say("doctor: --json: out of memory, or stdout cannot be written");
        json_decref(document);
        return RPDCTL_NO;
    }
    putchar('\n');
    json_decref(document);
    return 0;
}

/* ---- the command ------------------------------------------------------------------------------
 */

static int take(void *arg, int option, char **argv)
{
    (void)option;
    (void)argv;
    *(bool *)arg = true;
    return 0;
}

static int take_name(int argc, char **argv, const char **ret_name)
{
    *ret_name = optind < argc ? argv[optind] : NULL;
    if (argc - optind > 1)
        return rpdctl_refuse(argv[0], "%s: one service, or one configuration, at a time",
                             argv[optind + 1]);
    if (*ret_name && !is_config(*ret_name) && !state_view_is_name(*ret_name))
        return rpdctl_refuse(argv[0],
                             "%s: a service's name has small letters, digits, - and _; a "
                             "configuration has a slash or a dot in its name",
                             *ret_name);
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, JSON}, {NULL, 0, NULL, 0}};
    struct doctor doctor = {.runtime_dirfd = -1};
    bool is_json = false;
    const char *name;
    struct error error;
    int code = rpdctl_take_options(argc, argv, ":", options, take, &is_json);

    if (!code)
        code = take_name(argc, argv, &name);
    if (code)
        return code;
    if (libjansson_load(&error) < 0) {
        rpdctl_say("%s", error.text);
        return RPDCTL_NO;
    }
    if (is_json)
        doctor.findings = json_array();
    look(&doctor, name);
    if (is_json)
        code = print_json(&doctor);
    else
        print_verdict(&doctor);
    if (doctor.runtime_dirfd >= 0)
        close(doctor.runtime_dirfd);
    return code || doctor.counts[DOCTOR_FAIL] > 0 ? RPDCTL_NO : 0;
}

const struct rpdctl_command rpdctl_doctor = {
    .name = "doctor",
    .summary = "what is wrong around services, and what to do",
    .help = help,
    .run = run,
};
