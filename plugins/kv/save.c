/* Saving. See save.h. */
#include "save.h"

void save_tick(struct kv *kv)
{
    (void)kv;
}

void save_cancel(struct kv *kv)
{
    (void)kv;
}

void command_save(struct call *call)
{
    reply_error(call->reply, "ERR no snapshot");
}

void command_bgsave(struct call *call)
{
    reply_error(call->reply, "ERR no snapshot");
}

void command_lastsave(struct call *call)
{
    reply_integer(call->reply, call->kv->last_save_s);
}
