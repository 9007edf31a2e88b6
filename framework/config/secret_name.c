/* Names of secrets. See config/secret_name.h. */
#include "config/secret_name.h"

#include <stddef.h>
#include <string.h>

bool config_name_is_secret(const char *option)
{
    static const char *const words[] = {"pass",        "secret",  "token",  "credential",
                                        "private_key", "api_key", "apikey", "access_key"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(option, words[i]))
            return true;
    return false;
}
