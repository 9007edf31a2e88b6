/* A slow callback of a service: what is reported of it. See guard/slow.h for how it is found. */
#include "base/log.h"
#include "base/probe.h"
#include "guard/stack.h"
#include "service/service.h"

#include <stdio.h>

static bool is_accept(const struct rpd_service *service, foreign_code code)
{
    for (size_t i = 0; i < service->attachment_count; i++)
        if ((foreign_code)service->attachments[i].accept == code)
            return true;
    return false;
}

/* The descriptor does not have those of jobs, timers, posts, and of parts that are attached. */
static enum metric_callback kind_of(const struct rpd_service *service, foreign_code code)
{
    const struct rpd_backend *backend = &service->plugin.backend;
    const struct {
        foreign_code code;
        enum metric_callback kind;
    } kinds[] = {
        {(foreign_code)backend->on_data, METRIC_ON_DATA},
        {(foreign_code)backend->on_connect, METRIC_ON_CONNECT},
        {(foreign_code)backend->on_writable, METRIC_ON_WRITABLE},
        {(foreign_code)backend->on_close, METRIC_ON_CLOSE},
        {(foreign_code)backend->on_ready, METRIC_ON_READY},
        {(foreign_code)backend->serve, METRIC_SERVE},
        {(foreign_code)backend->on_drain, METRIC_ON_DRAIN},
        {(foreign_code)backend->stop, METRIC_STOP},
        {(foreign_code)backend->on_part, METRIC_ON_PART},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].code == code)
            return kinds[i].kind;
    if (is_accept(service, code))
        return METRIC_ACCEPT;
    if (conn_is_busy_answer(code))
        return METRIC_ON_BUSY;
    if (service->jobs.is_in_post)
        return METRIC_POST;
    if (service->timers.is_in_call)
        return METRIC_TIMER;
    return loading_attaches(&service->loading, code) ? METRIC_ATTACH : METRIC_DONE;
}

void service_note_slow(struct rpd_service *service, const struct slow_callback *slow)
{
    char where[STACK_TEXT_MAX + 128], name[128];

    rpd_metric_add(service->metrics.metrics[METRIC_SLOW_CALLBACKS +
                                            (int)kind_of(service, slow->place.callback)],
                   1);
    snprintf(where, sizeof where, "%s: %s",
             foreign_callback_name(slow->place.callback, name, sizeof name), slow->stack);
    state_page_slow(&service->state_page, slow->took_us, where);
    PROBE3(slow, service->name, slow->place.callback, slow->took_us);
    log_line(RPD_LOG_WARNING, service->name,
             "slow: %s took %llu ms, and other clients waited (slow_ms): it was in %s; let it do "
             "less, or use rpd_job_submit()",
             name, (unsigned long long)(slow->took_us / 1000), slow->stack);
}
