/* What a backend may ask of its service: its name, the log, its options and its state's
 * claims. See rpd/backend.h. */
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

static const struct option_value *option(const struct rpd_service *service, const char *name,
                                         enum rpd_option_type type)
{
    const struct option_value *value = options_find(&service->options, name, type);
    struct error error;

    if (value)
        return value;
    error_set(&error, EXIT_INTERNAL, "option", service->plugin.path,
              "its code asks for \"%s\", which its table does not have, or has with another type; "
              "add it there",
              name);
    log_line(RPD_LOG_ERROR, NULL, "%s", error.text);
    residue_remove();
    outcome_ended(EXIT_INTERNAL, error.text);
    _exit(EXIT_INTERNAL);
}

const char *rpd_option_string(const struct rpd_service *service, const char *name)
{
    return option(service, name, RPD_OPTION_STRING_TYPE)->string;
}

const char *rpd_option_secret(const struct rpd_service *service, const char *name)
{
    return option(service, name, RPD_OPTION_SECRET_TYPE)->string;
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
