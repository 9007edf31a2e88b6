/* A backend's options: what may stand under "options" in the configuration, or
 * behind -o. They are declared in one table; rpd checks what the user wrote
 * against it before any client is served, names every mistake, and applies
 * the defaults. Reading an option can therefore not fail. */
#ifndef RPD_OPTION_H
#define RPD_OPTION_H

#include <rpd/base.h>

RPD_BEGIN

enum rpd_option_type {
    RPD_OPTION_END = 0, /* closes the table */
    RPD_OPTION_STRING_TYPE,
    RPD_OPTION_INTEGER_TYPE,
    RPD_OPTION_NUMBER_TYPE,
    RPD_OPTION_BOOLEAN_TYPE,
    RPD_OPTION_SECRET_TYPE
};

/* One row. Use the macros. */
struct rpd_option {
    const char *name; /* [a-z][a-z0-9_]* */
    const char *meaning;
    enum rpd_option_type type;
    const char *string_default; /* NULL: unset, and rpd_option_string() says NULL */
    double default_value;       /* of a number; of a boolean, 0 or 1 */
    double min, max;            /* of a number or an integer, inclusive */
    int64_t integer_default;
};

/* clang-format off */
#define RPD_OPTION_STRING(name, preset, meaning) \
    { name, meaning, RPD_OPTION_STRING_TYPE, preset, 0, 0, 0, 0 }
#define RPD_OPTION_INTEGER(name, preset, min, max, meaning) \
    { name, meaning, RPD_OPTION_INTEGER_TYPE, NULL, 0, min, max, preset }
#define RPD_OPTION_NUMBER(name, preset, min, max, meaning) \
    { name, meaning, RPD_OPTION_NUMBER_TYPE, NULL, preset, min, max, 0 }
#define RPD_OPTION_BOOLEAN(name, preset, meaning) \
    { name, meaning, RPD_OPTION_BOOLEAN_TYPE, NULL, (preset) ? 1 : 0, 0, 1, 0 }
/* The name of a file that has a secret in it, such as "password_file". rpd reads it before any
 * client is served, and takes none that another user could read, or owns. A name without a slash
 * is that of a credential of systemd's (LoadCredential=). Unset unless the user sets it. */
#define RPD_OPTION_SECRET(name, meaning) \
    { name, meaning, RPD_OPTION_SECRET_TYPE, NULL, 0, 0, 0, 0 }
#define RPD_OPTIONS_END \
    { NULL, NULL, RPD_OPTION_END, NULL, 0, 0, 0, 0 }
/* clang-format on */

/* [any] The value of an option of this service: the user's, or the default.
 * Options never change while the service lives. The string is the service's.
 * A name or type that the table does not have is a mistake in the plugin, and
 * ends the process (70). */
RPD_API const char *rpd_option_string(const struct rpd_service *service, const char *name);
RPD_API int64_t rpd_option_integer(const struct rpd_service *service, const char *name);
RPD_API double rpd_option_number(const struct rpd_service *service, const char *name);
RPD_API bool rpd_option_boolean(const struct rpd_service *service, const char *name);
/* What is in the file, without the newline at its end; NULL: unset. */
RPD_API const char *rpd_option_secret(const struct rpd_service *service, const char *name);

RPD_END
#endif
