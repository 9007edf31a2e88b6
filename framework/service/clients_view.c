/* Clients, one by one. See clients_view.h. */
#include "service/clients_view.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/socket.h>

/* The connections, by descriptor: there may be very many, and they are in a list. */
struct by_fd {
    const struct rpd_conn **conns;
    size_t room;
};

static void note_conn(void *arg, int fd, const struct rpd_conn *conn)
{
    struct by_fd *by_fd = arg;

    if (fd >= 0 && (size_t)fd < by_fd->room)
        by_fd->conns[fd] = conn;
}

static void add_conn(const struct rpd_conn *conn, struct client_view *view)
{
    struct conn_view bytes;

    conn_look(conn, &bytes);
    view->state = bytes.is_closing ? "closing" : "active";
    view->waits_for = bytes.waits_for;
    view->knows_bytes = true;
    view->received = bytes.received;
    view->sent = bytes.sent;
    view->input_waits = bytes.input;
    view->output_waits = bytes.output;
}

static void view_one(const struct rpd_service *service, const struct place_view *place,
                     const struct rpd_conn *conn, struct client_view *ret)
{
    const uint64_t now_us = clock_us();

    *ret = (struct client_view){
        .id = place->id,
        .fd = place->fd,
        .age_us = now_us > place->since_us ? now_us - place->since_us : 0,
    };
    if (conn) {
        add_conn(conn, ret);
    } else if (place->is_given) {
        ret->state = "backend";
        ret->waits_for = "the backend, which has it";
    } else if (service->phase == RPD_PHASE_WARMING || !service->hold.open) {
        ret->state = "held";
        ret->waits_for = "READY";
    } else { /* let in next, or all is said and its end is waited for */
        ret->state = "closing";
        ret->waits_for = "its turn, or the client's end";
    }
}

size_t service_visit_clients(const struct rpd_service *service, size_t most, client_visit_fn visit,
                             void *arg)
{
    struct by_fd by_fd = {.room = places_room(&service->places)};
    struct place_view place = {.fd = -1};
    size_t count = 0;

    by_fd.conns = calloc(by_fd.room ? by_fd.room : 1, sizeof(const struct rpd_conn *));
    if (!by_fd.conns)
        return 0;
    conn_group_visit(&service->conns, note_conn, &by_fd);
    while (places_next(&service->places, &place)) {
        struct client_view client;

        if (count++ >= most)
            continue;
        view_one(service, &place, by_fd.conns[place.fd], &client);
        visit(arg, &client);
    }
    free(by_fd.conns);
    return count;
}

/* A connection is aborted, and so closed at once; the other clients look as if they had left. */
bool service_end_client(struct rpd_service *service, uint64_t id)
{
    struct place_view place = {.fd = -1};

    while (places_next(&service->places, &place)) {
        if (place.id != id)
            continue;
        log_line(RPD_LOG_INFO, service->name, "client %llu is ended: rpdctl clients --end",
                 (unsigned long long)id);
        if (!conn_group_end(&service->conns, place.fd))
            shutdown(place.fd, SHUT_RDWR);
        return true;
    }
    return false;
}
