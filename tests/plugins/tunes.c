/* Takes other options while it serves. Each line is answered with the word that it has now, the
 * word that it had when it began, and how often its options have changed. "count" is a number with
 * a bound, so that a configuration can be wrong. */
#include <rpd/backend.h>

#include <stdio.h>
#include <string.h>

static const char *first_word;
static unsigned changes;

static void on_ready(struct rpd_service *service, void *state)
{
    (void)state;
    first_word = rpd_option_string(service, "word");
}

static void on_options(struct rpd_service *service, void *state)
{
    (void)state;
    changes++;
    rpd_log(service, RPD_LOG_INFO, "the word is %s now", rpd_option_string(service, "word"));
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const struct rpd_service *service = rpd_conn_service(conn);
    struct rpd_span line;
    char text[256];

    (void)state;
    while (rpd_conn_read_line(conn, &line)) {
        snprintf(text, sizeof text, "%s %s %u\n", rpd_option_string(service, "word"), first_word,
                 changes);
        rpd_conn_write(conn, text, strlen(text));
    }
}

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("word", "none", "what is answered"),
    RPD_OPTION_INTEGER("count", 1, 0, 10, "a number"),
    RPD_OPTIONS_END,
};

RPD_BACKEND(tunes, .summary = "Takes other options while it serves", .on_ready = on_ready,
            .on_data = on_data, .options = options, .on_options = on_options);
