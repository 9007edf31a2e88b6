/* Writes rpd.json(5): copies a template, and puts the table of configuration
 * keys in place of the line "@KEYS@". Runs at build time.
 *
 *     keys TEMPLATE >PAGE */
#include "config/keys.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned type;
    const char *name;
} type_names[] = {
    {CONFIG_STRING, "string"},   {CONFIG_INTEGER, "integer"}, {CONFIG_NUMBER, "number"},
    {CONFIG_BOOLEAN, "boolean"}, {CONFIG_ARRAY, "array"},     {CONFIG_OBJECT, "object"},
};

/* Text for groff: a backslash is not the start of an escape, and a sentence
 * starts a line. None starts with a dot or a quote, which would be a request. */
static void print_text(const char *text)
{
    for (; *text; text++)
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == ' ' && text[-1] == '.')
            putchar('\n');
        else
            putchar(*text);
}

static void print_types(unsigned types)
{
    const char *between = "";

    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++) {
        if (!(types & type_names[i].type))
            continue;
        printf("%s%s", between, type_names[i].name);
        types &= ~type_names[i].type;
        between = types & (types - 1) ? ", " : " or ";
    }
}

/* Many strings and arrays must not be empty; that goes without saying. */
static void print_facts(const struct config_key *key)
{
    fputs("Type: ", stdout);
    print_types(key->types);
    if (key->types == CONFIG_INTEGER)
        printf(", %lld to %lld", (long long)key->min, (long long)key->max);
    if (key->unit != UNIT_NONE)
        printf(", or %s", key->unit == UNIT_BYTES ? "a size" : "a duration");
    if (key->expected) {
        fputs(", ", stdout);
        print_text(key->expected);
    }
    for (size_t i = 0; key->choices && key->choices[i]; i++)
        printf("%s\"%s\"", i == 0 ? ", one of " : ", ", key->choices[i]);
    fputs(".\n", stdout);
    if (key->required)
        fputs("Must be given.\n", stdout);
    if (key->preset) {
        fputs("Default: ", stdout);
        print_text(key->preset);
        fputs(".\n", stdout);
    }
    if (key->types != CONFIG_OBJECT)
        printf("A change takes effect: %s.\n", config_effect_word(key->effect));
}

/* The document itself has no name. */
static void print_keys(void)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];

        if (!*key->path)
            continue;
        printf(".It Ic %s\n", key->path);
        print_text(key->meaning);
        fputs("\n.br\n", stdout);
        print_facts(key);
    }
}

int main(int argc, char **argv)
{
    char line[1024];
    FILE *template = argc == 2 ? fopen(argv[1], "re") : NULL;

    if (!template) {
        fprintf(stderr, "usage: keys TEMPLATE >PAGE\n");
        return 64;
    }
    while (fgets(line, sizeof line, template))
        if (strcmp(line, "@KEYS@\n") == 0)
            print_keys();
        else
            fputs(line, stdout);
    fclose(template);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 71;
}
