/* What a plugin does to its own process. See provoke.h. */
#include "provoke.h"

static bool is_on_loop(const char *variant)
{
    return strncmp(variant, "loop", 4) == 0;
}

static void do_now(struct stage *stage, const char *variant)
{
    if (stage->phase == DRAINING)
        stage_go(stage);
    else if (is_on_loop(variant))
        stage_say(stage_client(stage->phase == LOADING ? stage->witness_endpoint : stage->endpoint),
                  textf("now %s", last_word(variant)));
    else if (stage->phase == LOADING)
        stage_open_gate(stage);
    else
        stage_say(stage_client(stage->endpoint), textf("job %s", last_word(variant)));
}

/* A client other than the guest causes the offence while the daemon drains. */
void arrange_offence(struct stage *stage, const char *variant)
{
    const int fd = stage_client(stage->endpoint);

    stage_say(fd, textf("%s %s", is_on_loop(variant) ? "done" : "wait", last_word(variant)));
    stage_wait_page(stage, jobs, 2);
}

/* What the log says when the daemon has noticed it. */
static const char *notice_of(const char *variant)
{
    const char *act = last_word(variant);

    return strcmp(act, "fork") == 0      ? "test: the child ended with 70"
           : strcmp(act, "signals") == 0 ? " changed "
           : strcmp(act, "foreign") == 0 ? "test: it was refused"
           : strcmp(act, "leave") == 0   ? "called pthread_exit()"
                                         : NULL;
}

/* While the daemon drains, the guest's job would end it before it checks for changes. */
void provoke_offence(struct stage *stage, const char *variant)
{
    do_now(stage, variant);
    if (notice_of(variant))
        assert_line(stage->rpd, notice_of(variant));
}

/* The daemon makes each of them again within about a second. */
void provoke_closing(struct stage *stage, const char *variant)
{
    do_now(stage, variant);
    assert_line(stage->rpd, " closed descriptor ");
    if (strstr(variant, "unix:"))
        assert_line(stage->rpd, " was closed; recreated");
    stage_assert_alive(stage);
    if (stage->phase == SERVING)
        assert_text(ask_once(stage->endpoint, "job none"), "did none", stage->rpd);
}

void provoke_fatal_closing(struct stage *stage, const char *variant)
{
    do_now(stage, variant);
    process_wait_exit(stage->rpd);
    witness_end(&stage->witness);
}

/* The log limits this cause, and no other. */
void provoke_log(struct stage *stage, const char *variant)
{
    const int64_t began = now_ns();

    do_now(stage, variant);
    assert_line(stage->rpd, "test: another cause");
    const int64_t took_s = (now_ns() - began) / 1000000000 + 1;
    const size_t lines = lines_with(process_stderr(stage->rpd), "faulty: warning: test line ");
    cr_assert(lines >= 50 && lines <= 50 + (size_t)(10 * took_s), "%zu lines in %ld s", lines,
              (long)took_s);
}
