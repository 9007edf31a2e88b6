/* The owner of a file, as far as this user namespace shows it. A user that its id map lacks shows
 * as 65534, be it root of the machine, or an attacker on it. libc only. */
#ifndef FRAMEWORK_OWNER_H
#define FRAMEWORK_OWNER_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* [any] Whether it stands for users, or groups, that the id map lacks. */
bool owner_is_unmapped(uid_t user);
bool owner_group_is_unmapped(gid_t group);

/* [any] Whether the user is we. False where we are not in the id map ourselves. */
bool owner_is_us(uid_t user);

/* [any] Whether what stands at this path, whose owner is unmapped, can be taken for root's:
 * the directories that every system has, and all below /usr, say. Or
 * $RPD_TRUST_USER_NAMESPACE names our user namespace, as `readlink /proc/self/ns/user`
 * prints it: then every unmapped owner is trusted. */
bool owner_is_the_systems(const char *path);

/* What to do about it, for an error line. */
#define OWNER_UNMAPPED_ADVICE                                                                      \
    "its owner is not in the id map of this user namespace, and cannot be distinguished from an "  \
    "attacker; "                                                                                   \
    "map it, or set RPD_TRUST_USER_NAMESPACE to what readlink /proc/self/ns/user prints"

/* Whether users besides the owner and root may read a file. (systemd gives a credential to the
 * service's user by an access list, whose mask shows as the rights of the group, which is root's.)
 */
bool owner_others_can_read(const struct stat *status);

#endif
