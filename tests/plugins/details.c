/* Answers the name of an option with its value. "wrong": it reads an option as a type that it does
 * not have. */
#include <rpd/backend.h>

#include <string.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("directory", NULL, "where files are"),
    RPD_OPTION_INTEGER("cache_bytes", 64 << 20, 0, 1LL << 40, "memory for answers"),
    RPD_OPTION_INTEGER("keep_s", 5400, 0, 1 << 30, "how long they are kept"),
    RPD_OPTION_STRING("mode", "fast", "how they are made"),
    RPD_OPTION_STRING("words", "one,two", "what is known"),
    RPD_OPTION_STRING("token", NULL, "what clients must say"),
    RPD_OPTIONS_END,
};

static const struct rpd_option_detail details[] = {
    RPD_DETAIL_PATH("directory", RPD_OPTION_IS_REQUIRED),
    RPD_DETAIL_SIZE("cache_bytes", 0),
    RPD_DETAIL_DURATION("keep_s", RPD_UNIT_SECONDS, 0),
    RPD_DETAIL_CHOICES("mode", "fast|exact", 0),
    RPD_DETAIL("words", RPD_OPTION_IS_LIST),
    RPD_DETAIL("token", RPD_OPTION_IS_SECRET),
    RPD_DETAILS_END,
};

static void answer_words(struct rpd_conn *conn, const struct rpd_service *service)
{
    const size_t count = rpd_option_count(service, "words");

    for (size_t i = 0; i < count; i++)
        rpd_conn_printf(conn, "<%s>", rpd_option_item(service, "words", i));
    rpd_conn_printf(conn, "%s\n", rpd_option_item(service, "words", count) ? "?" : "");
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const struct rpd_service *service = rpd_conn_service(conn);
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line)) {
        if (memcmp(line.data, "dire", 4) == 0)
            rpd_conn_printf(conn, "%s\n", rpd_option_string(service, "directory"));
        else if (memcmp(line.data, "cach", 4) == 0)
            rpd_conn_printf(conn, "%lld\n", (long long)rpd_option_integer(service, "cache_bytes"));
        else if (memcmp(line.data, "keep", 4) == 0)
            rpd_conn_printf(conn, "%lld\n", (long long)rpd_option_integer(service, "keep_s"));
        else if (memcmp(line.data, "mode", 4) == 0)
            rpd_conn_printf(conn, "%d\n", rpd_option_choice(service, "mode"));
        else if (memcmp(line.data, "word", 4) == 0)
            answer_words(conn, service);
        else if (memcmp(line.data, "list", 4) == 0)
            rpd_conn_printf(conn, "%s\n", rpd_option_item(service, "mode", 0)); /* it is no list */
        else
            rpd_conn_printf(conn, "%d\n", rpd_option_choice(service, "directory")); /* no choice */
    }
}

RPD_BACKEND(details, .summary = "Answers by its options", .options = options, .on_data = on_data,
            .option_details = details);
