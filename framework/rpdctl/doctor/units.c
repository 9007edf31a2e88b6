/* rpdctl doctor: units of systemd, and what a login session takes with it. */
#include "rpdctl/doctor/doctor.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what ends with the session ------------------------------------------------------------- */

/* /run/user/UID goes when its user has logged out, unless the user lingers. */
static void look_at_linger(struct doctor *doctor)
{
    static const char users[] = "/run/user/";
    char path[512], room[4096];
    struct passwd entry, *user = NULL;
    unsigned long uid;
    char *end;

    if (strncmp(doctor->runtime_dir, users, sizeof users - 1) != 0)
        return;
    uid = strtoul(doctor->runtime_dir + sizeof users - 1, &end, 10);
    if (end == doctor->runtime_dir + sizeof users - 1 || *end != '/')
        return;
    snprintf(path, sizeof path, "/run/systemd/users/%lu", uid);
    if (access(path, F_OK) < 0) /* no logind, which would remove it */
        return;
    getpwuid_r((uid_t)uid, &entry, room, sizeof room, &user);
    snprintf(path, sizeof path, "/var/lib/systemd/linger/%s", user ? user->pw_name : "");
    if (!user || access(path, F_OK) < 0)
        doctor_find(doctor, DOCTOR_WARN, doctor->runtime_dir, "linger", "loginctl enable-linger",
                    "it is removed, and its services end, when its user logs out");
    else
        doctor_find(doctor, DOCTOR_PASS, doctor->runtime_dir, "linger", NULL, "its user lingers");
}

/* ---- units ---------------------------------------------------------------------------------- */

struct unit {
    char id[128], state[32], result[32], kill_mode[32];
};

static void take_line(struct unit *unit, const char *line)
{
    const struct {
        const char *key;
        char *to;
        size_t room;
    } fields[] = {{"Id=", unit->id, sizeof unit->id},
                  {"ActiveState=", unit->state, sizeof unit->state},
                  {"Result=", unit->result, sizeof unit->result},
                  {"KillMode=", unit->kill_mode, sizeof unit->kill_mode}};

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strncmp(line, fields[i].key, strlen(fields[i].key)) == 0)
            snprintf(fields[i].to, fields[i].room, "%s", line + strlen(fields[i].key));
}

static void judge(struct doctor *doctor, const struct unit *unit)
{
    const bool is_failed = strcmp(unit->state, "failed") == 0;
    const bool leaves_some = strcmp(unit->kill_mode, "none") == 0 ||
                             strcmp(unit->kill_mode, "process") == 0;

    if (!*unit->id)
        return;
    if (is_failed)
        doctor_find(doctor, DOCTOR_FAIL, unit->id, "unit",
                    "systemctl status says why; then systemctl reset-failed, and start it",
                    "it has failed (%s)", *unit->result ? unit->result : "no result");
    if (leaves_some)
        doctor_find(doctor, DOCTOR_WARN, unit->id, "unit", "leave KillMode= out",
                    "KillMode=%s: what it has started may outlive a stop, with its locks",
                    unit->kill_mode);
    if (!is_failed && !leaves_some)
        doctor_find(doctor, DOCTOR_PASS, unit->id, "unit", NULL, "%s", unit->state);
}

/* Units are apart by an empty line. */
static void judge_all(struct doctor *doctor, char *text)
{
    struct unit unit = {0};

    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (*line) {
            take_line(&unit, line);
            continue;
        }
        judge(doctor, &unit);
        unit = (struct unit){0};
    }
    judge(doctor, &unit);
}

/* Units that were never loaded are not listed. */
void doctor_units(struct doctor *doctor, const char *name)
{
    char service[96], socket[96], tcp[96];
    const char *const argv[] = {
        "systemctl", "show", "--no-pager", "--property=Id,ActiveState,Result,KillMode",
        service,     socket, tcp,          NULL};
    const char *which = name ? name : "*";
    char *text;
    int code;

    look_at_linger(doctor);
    snprintf(service, sizeof service, "rpd@%s.service", which);
    snprintf(socket, sizeof socket, "rpd@%s.socket", which);
    snprintf(tcp, sizeof tcp, "rpd-tcp@%s.socket", which);
    text = doctor_run(argv, false, &code);
    if (text && code == 0)
        judge_all(doctor, text);
    free(text);
}
