/* Secrets: an option that names a file that no other user may read (include/rpd/option.h). A file
 * that others could read is refused. */
#ifndef FRAMEWORK_SECRET_H
#define FRAMEWORK_SECRET_H

#include "base/error.h"

enum { SECRET_MAX = 64 * 1024, SECRET_WHY_MAX = 320 };

/* [start] Returns the text of the file, without the newline at its end, to be freed by
 * secret_free(). name: an absolute path, or the name of a file in $CREDENTIALS_DIRECTORY, as
 * LoadCredential= creates it. NULL if the file is not used, with the reason and its code (66, 71,
 * 77, 78). */
char *secret_read(const char *name, enum exit_code *ret_code, char ret_why[SECRET_WHY_MAX]);

/* Wipes the text and frees it. NULL is legal. */
void secret_free(char *secret);

#endif
