/* Whether a request may come in. */
#include "credentials.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool allows(const struct credentials *credentials, const char *header)
{
    return credentials_allow(credentials, (struct rpd_span){header, header ? strlen(header) : 0});
}

Test(credentials, all_may_come_where_there_are_none)
{
    const struct credentials credentials = {0};

    cr_assert(allows(&credentials, NULL));
    cr_assert(allows(&credentials, "Basic x"));
}

Test(credentials, only_those_of_the_file_may_come)
{
    struct credentials credentials;

    cr_assert_eq(credentials_read(&credentials, "# a comment\n\nci:secret\r\nuser:\nT0ken\n"), 0);
    cr_expect(allows(&credentials, "Basic Y2k6c2VjcmV0")); /* ci:secret */
    cr_expect(allows(&credentials, "basic Y2k6c2VjcmV0"));
    cr_expect(allows(&credentials, "Basic dXNlcjo=")); /* user: */
    cr_expect(allows(&credentials, "Bearer T0ken"));
    cr_expect(!allows(&credentials, NULL));
    cr_expect(!allows(&credentials, ""));
    cr_expect(!allows(&credentials, "Basic"));
    cr_expect(!allows(&credentials, "Basic "));
    cr_expect(!allows(&credentials, "Basic Y2k6c2VjcmV"));      /* ci:secre */
    cr_expect(!allows(&credentials, "Basic Y2k6c2VjcmV0MQ==")); /* ci:secret1 */
    cr_expect(!allows(&credentials, "Basic Y2k6c2VjcmV0!"));
    cr_expect(!allows(&credentials, "Basic VDBrZW4=")); /* T0ken */
    cr_expect(!allows(&credentials, "Bearer ci:secret"));
    cr_expect(!allows(&credentials, "Bearer T0ke"));
    cr_expect(!allows(&credentials, "Bearer T0kenx"));
    cr_expect(!allows(&credentials, "Bearer # a comment"));
    cr_expect(!allows(&credentials, "Digest T0ken"));
    credentials_finish(&credentials);
    cr_assert(allows(&credentials, NULL));
}

Test(credentials, what_is_too_long_is_refused)
{
    struct credentials credentials;
    char line[2000], header[2100];

    memset(line, 'a', sizeof line);
    line[511] = '\0';
    cr_assert_eq(credentials_read(&credentials, line), 0);
    snprintf(header, sizeof header, "Bearer %s", line);
    cr_expect(allows(&credentials, header));
    memset(header + 7, 'a', 2000);
    header[2007] = '\0';
    cr_expect(!allows(&credentials, header));
    memcpy(header, "Basic  ", 7);
    cr_expect(!allows(&credentials, header));
    credentials_finish(&credentials);
    line[511] = 'a';
    line[512] = '\0';
    errno = 0;
    cr_assert_eq(credentials_read(&credentials, line), -1);
    cr_assert_eq(errno, EINVAL);
    cr_assert_eq(credentials_read(&credentials, "# only\n"), -1);
    cr_assert_eq(errno, EINVAL);
}
