/* Whether a request may come in: the header Authorization, against a file.
 *
 * Each line of the file is "user:password" for basic authentication, or a token for "Bearer". Empty
 * lines and lines that begin with "#" are skipped. Comparisons take the same time whatever
 * differs. */
#ifndef BUILDCACHE_CREDENTIALS_H
#define BUILDCACHE_CREDENTIALS_H

#include <rpd/base.h>

struct credential;

struct credentials {
    struct credential *first; /* NULL: every request may come in */
};

/* text: the contents of the file. 0, or -1 and errno: ENOMEM; EINVAL: it has no credential. */
int credentials_read(struct credentials *credentials, const char *text);
void credentials_finish(struct credentials *credentials);

/* header: the value of Authorization; its data is NULL if there was none. */
bool credentials_allow(const struct credentials *credentials, struct rpd_span header);

#endif
