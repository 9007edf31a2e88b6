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

/* ---- more about an option -----------------------------------------------------------
 *
 * What a row of the table cannot say is said in a second table, .option_details, by the option's
 * name. An rpd that is older than it ignores it, and takes what the first table allows: a number
 * for a size, any string for a choice.
 *
 *     static const struct rpd_option_detail details[] = {
 *         RPD_DETAIL_SIZE("cache_bytes", 0),
 *         RPD_DETAIL_PATH("directory", RPD_OPTION_IS_REQUIRED),
 *         RPD_DETAIL_CHOICES("mode", "fast|exact", 0),
 *         RPD_DETAILS_END,
 *     };
 *
 *     of                   row            the user may write
 *     -------------------  -------------  --------------------------------------------------------
 *     RPD_DETAIL_SIZE      integer        "64M", "1.5G", "512KiB": B, K, M, G and T, of 1024
 *     RPD_DETAIL_DURATION  integer or     "250ms", "90s", "1h30m": us, ms, s, m, h, d and w, the
 *                          number         largest first. The option's unit is the detail's: an
 *                                         integer must come out whole
 *     RPD_DETAIL_PATH      string         a path; the plugin sees an absolute one. A relative one
 *                                         is relative to the configuration, on the command line to
 *                                         the working directory. $XDG_CACHE_HOME/... and
 *                                         $XDG_STATE_HOME/... begin with that directory,
 *                                         or with ~/.cache and ~/.local/state
 *     RPD_DETAIL_CHOICES   string         one of the words between the |
 *     RPD_DETAIL           any            what the row says, with one of these:
 *       RPD_OPTION_IS_REQUIRED            it must be set
 *       RPD_OPTION_IS_LIST (strings)      an array of strings, or one; behind -o with commas
 *       RPD_OPTION_IS_SECRET (strings)    not on the command line, nor in a configuration that
 *                                         other users can read; never shown. (Better is the
 *                                         name of a file: RPD_OPTION_SECRET.)
 *
 * A size or a duration may be a number without a unit, too: it is in the option's own. Defaults of
 * paths and lists are written as behind -o. */
enum rpd_option_unit {
    RPD_UNIT_NONE = 0,
    RPD_UNIT_BYTES = 1,
    RPD_UNIT_SECONDS = 2,
    RPD_UNIT_MILLISECONDS = 3
};

enum rpd_option_flag {
    RPD_OPTION_IS_REQUIRED = 1,
    RPD_OPTION_IS_LIST = 2,
    RPD_OPTION_IS_PATH = 4,
    RPD_OPTION_IS_SECRET = 8
};

/* One row; it says its own size, so that rows may grow. Use the macros. */
struct rpd_option_detail {
    uint32_t row_size;   /* the same in all rows */
    uint32_t flags;      /* of enum rpd_option_flag */
    const char *name;    /* of a row of .options; NULL closes the table */
    const char *choices; /* "fast|exact", or NULL */
    uint32_t unit;       /* enum rpd_option_unit */
    uint32_t reserved;
};

/* clang-format off */
#define RPD_DETAIL_ROW_(name, flags, choices, unit) \
    { sizeof(struct rpd_option_detail), flags, name, choices, unit, 0 }
#define RPD_DETAIL(name, flags) RPD_DETAIL_ROW_(name, flags, NULL, RPD_UNIT_NONE)
#define RPD_DETAIL_SIZE(name, flags) RPD_DETAIL_ROW_(name, flags, NULL, RPD_UNIT_BYTES)
#define RPD_DETAIL_DURATION(name, unit, flags) RPD_DETAIL_ROW_(name, flags, NULL, unit)
#define RPD_DETAIL_PATH(name, flags) \
    RPD_DETAIL_ROW_(name, (flags) | RPD_OPTION_IS_PATH, NULL, RPD_UNIT_NONE)
#define RPD_DETAIL_CHOICES(name, choices, flags) \
    RPD_DETAIL_ROW_(name, flags, choices, RPD_UNIT_NONE)
#define RPD_DETAILS_END RPD_DETAIL_ROW_(NULL, 0, NULL, RPD_UNIT_NONE)
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
/* Of RPD_OPTION_IS_LIST: how many items there are, 0 where it is unset, and one of them; NULL
 * behind the last. (rpd_option_string() has them all, with commas between them.) */
RPD_API size_t rpd_option_count(const struct rpd_service *service, const char *name);
RPD_API const char *rpd_option_item(const struct rpd_service *service, const char *name,
                                    size_t index);
/* Of RPD_DETAIL_CHOICES: where the value stands among the words, from 0 on; -1: unset. */
RPD_API int rpd_option_choice(const struct rpd_service *service, const char *name);

RPD_END
#endif
