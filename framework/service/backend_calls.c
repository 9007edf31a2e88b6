/* What a backend may request from its service: its name, the log, its options and the
 * claims of its state. See rpd/backend.h. */
#include "service/service.h"

#include "base/log.h"
#include "guard/outcome.h"
#include "guard/residue.h"

#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

uint64_t *const *rpd_service_metrics(const struct rpd_service *service)
{
    return service->metrics.metrics + METRICS;
}

const char *rpd_service_name(const struct rpd_service *service)
{
    return service->name;
}

void rpd_log(const struct rpd_service *service, enum rpd_log_level level, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_vline(level, service->name, format, arguments);
    va_end(arguments);
}

static _Noreturn void refuse_option(const struct rpd_service *service, const char *name)
{
    struct error error;

    error_set(&error, EXIT_INTERNAL, "option", service->plugin.path,
              "its code asks for \"%s\", which its table does not have, or has with another type; "
              "add it there",
              name);
    log_line(RPD_LOG_ERROR, NULL, "%s", error.text);
    residue_remove();
    outcome_ended(EXIT_INTERNAL, error.text);
    _exit(EXIT_INTERNAL);
}

static const struct option_value *option(const struct rpd_service *service, const char *name,
                                         enum rpd_option_type type)
{
    const struct option_value *value = options_find(service_options(service), name, type);

    if (value)
        return value;
    refuse_option(service, name);
}

const char *rpd_option_string(const struct rpd_service *service, const char *name)
{
    return option(service, name, RPD_OPTION_STRING_TYPE)->string;
}

const char *rpd_option_secret(const struct rpd_service *service, const char *name)
{
    return option(service, name, RPD_OPTION_SECRET_TYPE)->string;
}

/* An option of another kind is a mistake, too. */
static const struct option_value *detailed(const struct rpd_service *service, const char *name,
                                           bool is_list)
{
    const struct option_value *value = option(service, name, RPD_OPTION_STRING_TYPE);

    if (is_list ? (value->detail.flags & RPD_OPTION_IS_LIST) != 0 : value->detail.choices != NULL)
        return value;
    refuse_option(service, name);
}

size_t rpd_option_count(const struct rpd_service *service, const char *name)
{
    return detailed(service, name, true)->item_count;
}

const char *rpd_option_item(const struct rpd_service *service, const char *name, size_t index)
{
    const struct option_value *value = detailed(service, name, true);

    return index < value->item_count ? value->items[index] : NULL;
}

int rpd_option_choice(const struct rpd_service *service, const char *name)
{
    return detailed(service, name, false)->choice;
}

int64_t rpd_option_integer(const struct rpd_service *service, const char *name)
{
    return option(service, name, RPD_OPTION_INTEGER_TYPE)->integer;
}

double rpd_option_number(const struct rpd_service *service, const char *name)
{
    return option(service, name, RPD_OPTION_NUMBER_TYPE)->number;
}

bool rpd_option_boolean(const struct rpd_service *service, const char *name)
{
    return option(service, name, RPD_OPTION_BOOLEAN_TYPE)->boolean;
}

/* To the backend its service is const; this part of it is not. */
static struct state_claims *claims_of(const struct rpd_service *service)
{
    return &((struct rpd_service *)(uintptr_t)service)->state_claims;
}

int rpd_claim_state(const struct rpd_service *service, const char *path)
{
    char identity[LOCK_HOLDER_MAX];
    struct error error;

    service_identity(service, identity);
    return state_claims_take(claims_of(service), path, identity, &error);
}

bool rpd_owns_state(const struct rpd_service *service, const char *path)
{
    return state_claims_hold(claims_of(service), path);
}
