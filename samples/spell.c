/* spell: a spell-checker. Each line is a word, answered by "ok", or by "?" and what may have been
 * meant. Its dictionaries are parts of the load; READY waits for the first, the second is optional.
 *
 *     build/rpd build/samples/spell.so -l unix:/tmp/spell.sock -o extra=de_DE
 *     echo helo | socat - UNIX-CONNECT:/tmp/spell.sock */
#include <rpd/backend.h>

#include <errno.h>
#include <hunspell/hunspell.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("directory", "/usr/share/hunspell", "where dictionaries are"),
    RPD_OPTION_STRING("language", "en_US", "the dictionary"),
    RPD_OPTION_STRING("extra", NULL, "a second one, which may be missing"), RPD_OPTIONS_END};
static const struct rpd_option_detail more[] = {RPD_DETAIL_PATH("directory", 0), RPD_DETAILS_END};
enum { WORD_MAX = 100, ANSWER_MAX = 400, FILE_MAX = 4096 };
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER; /* hunspell shares tables */
struct spell {
    Hunhandle *language, *extra;
};
struct question {
    struct rpd_conn *conn;
    struct spell known; /* when it was asked */
    char word[WORD_MAX], answer[ANSWER_MAX];
};
static void *load_dictionary(struct rpd_load *load)
{
    const struct rpd_service *service = rpd_load_service(load);
    const char *name = rpd_option_string(service, rpd_load_arg(load));
    char rules[FILE_MAX], words[FILE_MAX];
    snprintf(rules, FILE_MAX, "%s/%s.aff", rpd_option_string(service, "directory"), name);
    snprintf(words, FILE_MAX, "%s/%s.dic", rpd_option_string(service, "directory"), name);
    if (access(rules, R_OK) < 0 || access(words, R_OK) < 0)
        return rpd_load_fail(load, "%s: %s; install it, or name another", rules, strerror(errno));
    pthread_mutex_lock(&one_at_a_time);
    Hunhandle *made = Hunspell_create(rules, words);
    pthread_mutex_unlock(&one_at_a_time);
    return made;
}
static void free_dictionary(void *part)
{
    pthread_mutex_lock(&one_at_a_time);
    Hunspell_destroy(part);
    pthread_mutex_unlock(&one_at_a_time);
}
static void attach_language(void *state, void *part)
{
    ((struct spell *)state)->language = part;
}
static void attach_extra(void *state, void *part)
{
    ((struct spell *)state)->extra = part;
}
static void *load(struct rpd_load *load)
{
    const struct rpd_load_part parts[] = {
        {"language", load_dictionary, attach_language, free_dictionary, "language", false},
        {"extra", load_dictionary, attach_extra, free_dictionary, "extra", true}};
    const bool has_extra = rpd_option_string(rpd_load_service(load), "extra");
    if (rpd_load_add_part(load, &parts[0]) < 0 ||
        (has_extra && rpd_load_add_part(load, &parts[1]) < 0))
        return rpd_load_fail(load, "no memory; free some");
    return calloc(1, sizeof(struct spell));
}
static void unload(void *state)
{
    free_dictionary(((struct spell *)state)->language);
    free_dictionary(((struct spell *)state)->extra);
    free(state);
}
/* [worker] Suggestions take a moment; the client's next word waits until then. */
static void run(struct rpd_job *job, void *arg)
{
    struct question *asked = arg;
    const struct spell *known = &asked->known;
    char **found = NULL;
    (void)job;
    pthread_mutex_lock(&one_at_a_time);
    const bool is_word = Hunspell_spell(known->language, asked->word) ||
                         (known->extra && Hunspell_spell(known->extra, asked->word));
    int used = snprintf(asked->answer, ANSWER_MAX, "%s", is_word ? "ok" : "?");
    const int count = is_word ? 0 : Hunspell_suggest(known->language, &found, asked->word);
    for (int i = 0; i < count && used < ANSWER_MAX / 2; i++)
        used += snprintf(asked->answer + used, ANSWER_MAX / 2, " %.99s", found[i]);
    Hunspell_free_list(known->language, &found, count);
    pthread_mutex_unlock(&one_at_a_time);
}
static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    struct question *asked = arg;
    (void)service;
    rpd_conn_printf(asked->conn, "%s\n", cancelled ? "busy" : asked->answer);
    rpd_conn_resume(asked->conn);
    rpd_conn_release(asked->conn);
    free(asked);
}
static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;
    while (rpd_conn_read_line(conn, &line)) {
        struct question *asked = calloc(1, sizeof *asked);
        if (!asked) {
            rpd_conn_abort(conn);
            return;
        }
        *asked = (struct question){.conn = conn, .known = *(struct spell *)state};
        memcpy(asked->word, line.data, line.size < WORD_MAX ? line.size : WORD_MAX - 1);
        rpd_conn_keep(conn);
        rpd_conn_pause(conn);
        if (rpd_job_submit(rpd_conn_service(conn), run, done, asked) < 0)
            done(NULL, asked, true);
    }
}
RPD_BACKEND(spell, .summary = "Checks words", .options = options, .load = load, .unload = unload,
            .on_data = on_data, .option_details = more, .probe = RPD_PROBE("word\n", ""));
