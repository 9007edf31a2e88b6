/* Plans. See config/plan.h. */
#include "config/plan.h"

#include "config/secret_name.h"
#include "config/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the values of one side -------------------------------------------------------- */

struct value {
    const struct config_key *key;
    char *path, *text;
};

struct values {
    struct value *items;
    size_t count, room;
    bool failed; /* there was no memory for one */
};

static bool make_room(struct values *values)
{
    const size_t room = values->room ? values->room * 2 : 64;
    struct value *items;

    if (values->count < values->room)
        return true;
    items = realloc(values->items, room * sizeof *items);
    if (!items)
        return false;
    values->items = items;
    values->room = room;
    return true;
}

static void add_value(void *arg, const struct config_key *key, const char *path, const char *text)
{
    struct values *values = arg;
    struct value value = {.key = key};

    if (make_room(values)) {
        value.path = strdup(path);
        value.text = text ? strdup(text) : NULL;
    }
    if (!value.path || (text && !value.text)) {
        free(value.path);
        free(value.text);
        values->failed = true;
        return;
    }
    values->items[values->count++] = value;
}

static int compare(const void *left, const void *right)
{
    return strcmp(((const struct value *)left)->path, ((const struct value *)right)->path);
}

static void take_values(struct values *values, const struct plan_side *side)
{
    config_values(side->config, side->names, add_value, values);
    if (values->count > 0)
        qsort(values->items, values->count, sizeof *values->items, compare);
}

static void finish_values(struct values *values)
{
    for (size_t i = 0; i < values->count; i++) {
        free(values->items[i].path);
        free(values->items[i].text);
    }
    free(values->items);
}

/* ---- the differences ------------------------------------------------------------------ */

struct comparison {
    struct plan *plan;
    plan_takes_options_fn takes_options;
    const void *arg;
    const char *only; /* what one side has, and the other has not: not all below is listed */
};

static bool is_below(const char *path, const char *above)
{
    const size_t length = above ? strlen(above) : 0;

    return length > 0 && strncmp(path, above, length) == 0 && path[length] == '.';
}

/* The name within "services[NAME].options.KEY". */
static enum config_effect effect_of_option(const struct comparison *comparison, const char *path)
{
    const char *name = strchr(path, '[');
    const char *end = name ? strchr(name, ']') : NULL;
    char service[64];

    if (!end)
        return EFFECT_GENERATION;
    snprintf(service, sizeof service, "%.*s", (int)(end - name - 1), name + 1);
    return comparison->takes_options(comparison->arg, service) ? EFFECT_LIVE : EFFECT_GENERATION;
}

static char *shown(const struct value *value)
{
    const char *dot = value ? strrchr(value->path, '.') : NULL;

    if (!value || !value->text)
        return NULL;
    if (dot && value->key == config_key_at("services[].options.*") &&
        config_name_is_secret(dot + 1))
        return strdup("(secret)");
    return strdup(value->text);
}

static int add_change(const struct comparison *comparison, const struct value *old_value,
                      const struct value *new_value)
{
    const struct value *value = old_value ? old_value : new_value;
    struct plan *plan = comparison->plan;
    struct plan_change *more = realloc(plan->changes, (plan->count + 1) * sizeof *more);
    struct plan_change change = {.key = value->key, .effect = value->key->effect};

    if (!more)
        return -1;
    plan->changes = more;
    change.path = strdup(value->path);
    change.old_text = shown(old_value);
    change.new_text = shown(new_value);
    if (value->key == config_key_at("services[].options.*"))
        change.effect = effect_of_option(comparison, value->path);
    plan->changes[plan->count++] = change;
    return change.path ? 0 : -1;
}

static bool is_same(const struct value *a, const struct value *b)
{
    return a->text && b->text ? strcmp(a->text, b->text) == 0 : a->text == b->text;
}

static int take_one_sided(struct comparison *comparison, const struct value *old_value,
                          const struct value *new_value)
{
    const char *path = (old_value ? old_value : new_value)->path;

    if (is_below(path, comparison->only))
        return 0;
    comparison->only = path;
    return add_change(comparison, old_value, new_value);
}

static int compare_all(struct comparison *comparison, const struct values *a,
                       const struct values *b)
{
    size_t i = 0, j = 0;
    int result = 0;

    while (result == 0 && (i < a->count || j < b->count)) {
        const int order = i == a->count   ? 1
                          : j == b->count ? -1
                                          : compare(&a->items[i], &b->items[j]);

        if (order < 0)
            result = take_one_sided(comparison, &a->items[i++], NULL);
        else if (order > 0)
            result = take_one_sided(comparison, NULL, &b->items[j++]);
        else {
            if (!is_same(&a->items[i], &b->items[j]))
                result = add_change(comparison, &a->items[i], &b->items[j]);
            i++;
            j++;
        }
    }
    return result;
}

int plan_make(struct plan *plan, const struct plan_side *old_side, const struct plan_side *new_side,
              plan_takes_options_fn takes_options, const void *arg)
{
    struct comparison comparison = {.plan = plan, .takes_options = takes_options, .arg = arg};
    struct values a = {0}, b = {0};
    int result = -1;

    *plan = (struct plan){0};
    take_values(&a, old_side);
    take_values(&b, new_side);
    if (!a.failed && !b.failed)
        result = compare_all(&comparison, &a, &b);
    finish_values(&a);
    finish_values(&b);
    return result;
}

void plan_finish(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        free(plan->changes[i].path);
        free(plan->changes[i].old_text);
        free(plan->changes[i].new_text);
    }
    free(plan->changes);
    *plan = (struct plan){0};
}

/* ---- what is in it ------------------------------------------------------------------------ */

bool plan_has(const struct plan *plan, enum config_effect effect)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->changes[i].effect == effect)
            return true;
    return false;
}

void plan_name_keys(const struct plan *plan, enum config_effect effect, char *ret, size_t size)
{
    size_t used = 0;

    *ret = '\0';
    for (size_t i = 0; i < plan->count && used < size; i++)
        if (plan->changes[i].effect == effect)
            used += (size_t)snprintf(ret + used, size - used, "%s%s", used ? ", " : "",
                                     plan->changes[i].path);
}
