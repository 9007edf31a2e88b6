/* rpdctl connect: it joins standard input and output to a service, which it ensures first. */
#include "rpdctl_run.h"

/* A user with a configuration of their own, and the commands that they type. */
struct user {
    const char *dir, *run;
};

static struct user user_with(const char *service)
{
    const char *dir = temp_dir_make();
    const struct user user = {dir, textf("%s/run", dir)};

    mkdir(textf("%s/config", dir), 0700);
    mkdir(textf("%s/config/rpd", dir), 0700);
    if (service)
        write_text(textf("%s/config/rpd/%s.json", dir, service),
                   textf("{\"services\":[{\"name\":\"%s\",\"plugin\":\"%s\",\"listen\":[\"unix:"
                         "%s/x.sock\"]}]}",
                         service, build_path("plugins/echo.so"), dir));
    return user;
}

static struct process *type(const struct user *user, const char *line)
{
    return process_start(&(struct process_options){
        .argv = ARGS("bash", "-c", textf("rpdctl=%s; %s", build_path("rpdctl"), line)),
        .env = ARGS(textf("XDG_CONFIG_HOME=%s/config", user->dir), textf("HOME=%s", user->dir),
                    "XDG_STATE_HOME"),
        .runtime_dir = user->run,
        .directory = user->dir});
}

static struct outcome typed(const struct user *user, const char *line)
{
    return outcome_of(type(user, line));
}

static void finish(const struct user *user)
{
    const struct outcome stopped = typed(user, "$rpdctl stop echo");

    assert_code(stopped, 0);
    temp_dir_remove(user->dir);
}

Test(connect, it_ensures_and_joins)
{
    const struct user user = user_with("echo");
    const struct outcome first = typed(&user, "printf 'Ada\\nGrace\\n' | $rpdctl connect echo");
    const struct outcome pid = typed(&user,
                                     "sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p' run/echo.json");
    const struct outcome second = typed(&user, "printf 'again\\n' | $rpdctl connect echo");

    assert_code(first, 0);
    cr_expect_str_eq(first.out, "Ada\nGrace\n");
    cr_expect_str_empty(first.err);
    assert_code(second, 0);
    cr_expect_str_eq(second.out, "again\n");
    cr_expect_str_eq(typed(&user, "sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p' run/echo.json").out,
                     pid.out);
    finish(&user);
}

/* Both directions at once, with more data than all buffers on the way hold; the same data comes
 * back. */
Test(connect, much_in_both_directions)
{
    const struct user user = user_with("echo");
    const struct outcome sum = typed(&user, "head -c 6000000 /dev/urandom | base64 >text; "
                                            "$rpdctl connect echo <text | cmp - text && echo same");

    cr_expect_str_eq(sum.out, "same\n", "%s", sum.err);
    finish(&user);
}

/* A conversation: an answer comes before the input ends. */
Test(connect, answers_come_at_once)
{
    const struct user user = user_with("echo");
    const struct outcome said = typed(&user, "coproc $rpdctl connect echo; for i in 1 2 3; do "
                                             "echo $i >&${COPROC[1]}; read -r -u ${COPROC[0]} "
                                             "answer; echo got $answer; done; eval \"exec "
                                             "${COPROC[1]}>&-\"; wait $COPROC_PID; echo code $?");

    cr_expect_str_eq(said.out, "got 1\ngot 2\ngot 3\ncode 0\n", "%s", said.err);
    finish(&user);
}

/* An editor starts several. */
Test(connect, many_at_once_share_one_daemon)
{
    const struct user user = user_with("echo");
    const struct outcome many = typed(&user, "for i in 1 2 3 4 5 6 7 8; do (echo $i | $rpdctl "
                                             "connect echo) & done | sort; wait");

    cr_expect_str_eq(many.out, "1\n2\n3\n4\n5\n6\n7\n8\n", "%s", many.err);
    cr_expect_str_eq(typed(&user, "grep -c ' bound ' run/echo.history").out, "1\n");
    finish(&user);
}

Test(connect, whoever_takes_the_output_may_leave)
{
    const struct user user = user_with("echo");
    /* Its input does not end. */
    const struct outcome left = typed(
        &user, "mkfifo in; exec 3<>in; yes >&3 & $rpdctl connect echo <in | head -n 1; echo "
               "${PIPESTATUS[0]}; kill $!");

    cr_expect_str_eq(left.out, "y\n1\n", "%s", left.err);
    finish(&user);
}

Test(connect, a_service_that_is_not_there)
{
    const struct user user = user_with(NULL);
    const struct outcome none = typed(&user, "$rpdctl connect echo </dev/null");
    const struct outcome bad = typed(&user, "$rpdctl connect -c nowhere.json echo </dev/null");
    const struct outcome name = typed(&user, "$rpdctl connect ../echo </dev/null");
    const struct outcome two = typed(&user, "$rpdctl connect a b </dev/null");

    cr_expect_eq(none.code, 2, "%d %s", none.code, none.err);
    assert_has(none.err, "rpd: ");
    cr_expect_eq(bad.code, 66, "%d %s", bad.code, bad.err);
    cr_expect_eq(name.code, 64, "%s", name.err);
    cr_expect_eq(two.code, 64, "%s", two.err);
    temp_dir_remove(user.dir);
}
