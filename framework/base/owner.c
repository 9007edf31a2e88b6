/* Owners. See owner.h. */
#include "base/owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OVERFLOW_ID = 65534 }; /* the kernel's default; no other value is known to be used */

/* A line of the map is "first-here first-outside count". */
static bool map_lacks_overflow_id(const char *map)
{
    unsigned long first, outside, count;
    FILE *lines = fopen(map, "re");
    bool lacks = lines != NULL;

    /* The kernel wrote these numbers. NOLINTNEXTLINE(cert-err34-c) */
    while (lacks && fscanf(lines, "%lu %lu %lu", &first, &outside, &count) == 3)
        lacks = OVERFLOW_ID < first || OVERFLOW_ID - first >= count;
    if (lines)
        fclose(lines);
    return lacks;
}

bool owner_is_unmapped(uid_t user)
{
    return user == OVERFLOW_ID && map_lacks_overflow_id("/proc/self/uid_map");
}

bool owner_group_is_unmapped(gid_t group)
{
    return group == OVERFLOW_ID && map_lacks_overflow_id("/proc/self/gid_map");
}

bool owner_is_us(uid_t user)
{
    return user == geteuid() && !owner_is_unmapped(user);
}

static bool is_one_of(const char *path, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(path, *list) == 0)
            return true;
    return false;
}

static bool is_below_one_of(const char *path, const char *const *list)
{
    for (; *list; list++) {
        const size_t size = strlen(*list);

        if (strncmp(path, *list, size) == 0 && (path[size] == '/' || path[size] == '\0'))
            return true;
    }
    return false;
}

static bool user_trusts_namespace(void)
{
    const char *trusted = getenv("RPD_TRUST_USER_NAMESPACE");
    char ours[64];
    const ssize_t size = trusted ? readlink("/proc/self/ns/user", ours, sizeof ours - 1) : -1;

    if (size <= 0)
        return false;
    ours[size] = '\0';
    return strcmp(trusted, ours) == 0;
}

bool owner_is_the_systems(const char *path)
{
    static const char *const alone[] = {"/",          "/boot",    "/dev",     "/dev/shm", "/home",
                                        "/media",     "/mnt",     "/opt",     "/proc",    "/run",
                                        "/run/user",  "/srv",     "/sys",     "/tmp",     "/var",
                                        "/var/cache", "/var/lib", "/var/tmp", NULL};
    static const char *const trees[] = {"/bin",    "/etc",  "/lib", "/lib32", "/lib64",
                                        "/libx32", "/sbin", "/usr", NULL};

    return is_one_of(path, alone) || is_below_one_of(path, trees) || user_trusts_namespace();
}

bool owner_others_can_read(const struct stat *status)
{
    const bool is_credential = status->st_uid == 0 && status->st_gid == 0;

    return status->st_mode & S_IROTH || (status->st_mode & S_IRGRP && !is_credential);
}
