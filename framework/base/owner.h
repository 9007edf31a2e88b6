/* The owner of a file, as far as this user namespace shows it. A user outside its id map appears as
 * 65534, whether that user is root of the machine or an attacker on it. libc only. */
#ifndef FRAMEWORK_OWNER_H
#define FRAMEWORK_OWNER_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* [any] Whether this id stands for users or groups outside the id map. */
bool owner_is_unmapped(uid_t user);
bool owner_group_is_unmapped(gid_t group);

/* [any] Whether this user is ours. False if we are outside the id map ourselves. */
bool owner_is_us(uid_t user);

/* [any] Whether the unmapped owner of this path can be taken for root: it is one of the directories
 * that every system has, or lies below /usr, for example. Or $RPD_TRUST_USER_NAMESPACE names our
 * user namespace, as `readlink /proc/self/ns/user` prints it: then every unmapped owner is
 * trusted. */
bool owner_is_the_systems(const char *path);

/* What to do about an unmapped owner, for an error line. */
#define OWNER_UNMAPPED_ADVICE                                                                      \
    "its owner is not in the id map of this user namespace, and cannot be distinguished from an "  \
    "attacker; "                                                                                   \
    "map it, or set RPD_TRUST_USER_NAMESPACE to what readlink /proc/self/ns/user prints"

/* Whether users other than the owner and root may read a file. systemd gives the service's user
 * access to a credential through an access list, whose mask appears as the rights of the group,
 * which is root's. */
bool owner_others_can_read(const struct stat *status);

#endif
