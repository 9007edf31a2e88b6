/* All values of a configuration, as text, each with the path of its key: what two configurations
 * are compared by (config/plan.h). A service is named by its name in place of its index, and an
 * endpoint by its text: "services[echo].listen[unix:echo.sock].backlog". So neither the order nor
 * where a value was set makes a difference. */
#ifndef FRAMEWORK_CONFIG_VALUES_H
#define FRAMEWORK_CONFIG_VALUES_H

#include "config/config.h"
#include "config/keys.h"

/* text: NULL for a value that is not set, and has no default. */
typedef void (*config_value_fn)(void *arg, const struct config_key *key, const char *path,
                                const char *text);

/* names: one a service, as it runs. libjansson must be loaded if there is a file. */
void config_values(const struct config *config, const char *const *names, config_value_fn value,
                   void *arg);

/* An option's value as -o would have it, to be freed; NULL without memory. */
char *config_option_text(const struct config_option *option);

#endif
