/* Residue: a file that the loop makes while another thread ends the process does not stay. */
#include "guard/residue.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/rpd-residue-XXXXXX";
static int dirfd_of_test;

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
    dirfd_of_test = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(dirfd_of_test >= 0);
}

static void remove_dir(void)
{
    unlinkat(dirfd_of_test, "shown", 0);
    cr_expect_eq(rmdir(dir), 0, "something is left in %s", dir);
    close(dirfd_of_test);
}

static struct stat make_file(const char *name)
{
    const int fd = openat(dirfd_of_test, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct stat status;

    cr_assert(fd >= 0 && fstat(fd, &status) == 0);
    close(fd);
    return status;
}

static bool is_there(const char *name)
{
    return faccessat(dirfd_of_test, name, F_OK, 0) == 0;
}

TestSuite(residue, .init = make_dir, .fini = remove_dir);

Test(residue, a_file_made_after_the_removal_does_not_stay)
{
    char name[NAME_MAX + 1];
    struct residue *residue = residue_add(dirfd_of_test, ".a.", name);

    residue_remove();
    const struct stat status = make_file(name);
    residue_identify(residue, &status);
    cr_expect(!is_there(name));
}

Test(residue, a_file_renamed_after_the_removal_does_not_stay)
{
    char name[NAME_MAX + 1];
    struct residue *residue = residue_add(dirfd_of_test, ".a.", name);
    const struct stat status = make_file(name);

    residue_identify(residue, &status);
    cr_assert_eq(renameat(dirfd_of_test, name, dirfd_of_test, "aside"), 0); /* not found there */
    residue_remove();
    cr_assert_eq(renameat(dirfd_of_test, "aside", dirfd_of_test, name), 0);
    residue_rename(residue, "shown", 0);
    cr_expect(!is_there("shown"));
    cr_expect(!is_there(name));
}

/* The control: the process does not end. */
Test(residue, otherwise_it_stays_until_it_is_removed)
{
    char name[NAME_MAX + 1];
    struct residue *residue = residue_add(dirfd_of_test, ".a.", name);
    const struct stat status = make_file(name);

    residue_identify(residue, &status);
    cr_assert(is_there(name));
    cr_assert_eq(residue_rename(residue, "shown", 0), 0);
    cr_assert(is_there("shown"));
    residue_remove_one(residue);
    cr_expect(!is_there("shown"));
}
