/* Commands that are asked of every Redis, and of which kv has little or nothing to say. */
#include "command.h"
#include "kv.h"
#include "number.h"

#include <string.h>
#include <time.h>

void command_time(struct call *call)
{
    struct timespec now;
    char text[NUMBER_SIZE];

    clock_gettime(CLOCK_REALTIME, &now);
    reply_array(call->reply, 2);
    reply_bulk(call->reply, text, number_format(text, now.tv_sec));
    reply_bulk(call->reply, text, number_format(text, now.tv_nsec / 1000));
}

/* Nothing is measured by name: what there is, is in INFO. */
void command_latency(struct call *call)
{
    static const char text[] = "kv keeps no latency events; see kv_longest_step_us in INFO.\n";

    if ((call_arg_is(call, 1, "latest") && call->argc == 2) ||
        (call_arg_is(call, 1, "history") && call->argc == 3))
        reply_array(call->reply, 0);
    else if (call_arg_is(call, 1, "reset"))
        reply_integer(call->reply, 0);
    else if (call_arg_is(call, 1, "histogram"))
        reply_map(call->reply, 0);
    else if (call_arg_is(call, 1, "doctor") && call->argc == 2)
        reply_verbatim(call->reply, text, sizeof text - 1);
    else
        call_unknown_subcommand(call);
}

/* No request is slow: see steps.h. */
void command_slowlog(struct call *call)
{
    const struct rpd_span arg = call->argc == 3 ? call_arg(call, 2) : (struct rpd_span){"0", 1};
    int64_t count;

    if (call_arg_is(call, 1, "get") && call->argc <= 3) {
        if (!number_parse(arg.data, arg.size, &count) || count < -1)
            reply_error(call->reply, "ERR count should be greater than or equal to -1");
        else
            reply_array(call->reply, 0);
    } else if (call_arg_is(call, 1, "len") && call->argc == 2) {
        reply_integer(call->reply, 0);
    } else if (call_arg_is(call, 1, "reset") && call->argc == 2) {
        reply_status(call->reply, "OK");
    } else {
        call_unknown_subcommand(call);
    }
}

void command_no_scripts(struct call *call)
{
    reply_error(call->reply, "ERR kv runs no scripts: ask for MULTI and EXEC, or for what the "
                             "script does");
}
