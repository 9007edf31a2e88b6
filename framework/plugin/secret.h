/* Secrets: an option that is the name of a file that no other user may read (include/rpd/option.h).
 * What others could read is refused rather than used. */
#ifndef FRAMEWORK_SECRET_H
#define FRAMEWORK_SECRET_H

#include "base/error.h"

enum { SECRET_MAX = 64 * 1024, SECRET_WHY_MAX = 320 };

/* [start] The text of the file, without the newline at its end; to be freed by secret_free(). name:
 * an absolute path, or the name of a file in $CREDENTIALS_DIRECTORY, as LoadCredential= makes it.
 * NULL: why it is not used, and the code of that (66, 71, 77, 78). */
char *secret_read(const char *name, enum exit_code *ret_code, char ret_why[SECRET_WHY_MAX]);

/* Wipes it, too. NULL is legal. */
void secret_free(char *secret);

#endif
