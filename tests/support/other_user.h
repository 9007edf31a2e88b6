/* Acts of another user, or an attacker, in a child that becomes that user. For tests that run as
 * root. On top of process.h. */
#ifndef TESTS_SUPPORT_OTHER_USER_H
#define TESTS_SUPPORT_OTHER_USER_H

#include "process.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OTHER_USER = 12345, THIRD_USER = 23456, OTHER_GROUP = 34567 };

/* In the child: becomes that user, with this group and no other except, if it is not 0, one
 * more. */
void become_member(uid_t user, gid_t group, gid_t more);

void become_user(uid_t user, gid_t group);

/* Starts a process of that user that runs act(arg) and stays until it is killed. When this returns,
 * act() is over. */
pid_t stay_as_user(uid_t user, void (*act)(const void *arg), const void *arg);

void end_user_process(pid_t pid);

#endif
