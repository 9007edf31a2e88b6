/* A backend that takes its clients with rpd_accept(): it greets each, and keeps those that ask for
 * it ("keep\n" as their first line) until it drains ("bye\n") or, with the option "stubborn", for
 * ever. */
#include <rpd/backend.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct rpd_option options[] = {
    RPD_OPTION_BOOLEAN("stubborn", 0, "whether kept clients are kept for ever"),
    RPD_OPTION_INTEGER("gone", 1, 0, 2, "how often it says that a client is gone"),
    RPD_OPTION_INTEGER("load_ms", 0, 0, 100000, "how long the load takes"),
    RPD_OPTIONS_END,
};

static int kept[100];
static size_t kept_count;
static char state_of_all;

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static void accept_client(struct rpd_service *service, int fd, const struct sockaddr *peer,
                          socklen_t peer_length, void *arg)
{
    char text[16] = "";
    const char *greeting = rpd_service_state(service) == &state_of_all ? "ready\n" : "cold\n";

    if (arg != &kept || !peer || peer_length < sizeof(sa_family_t))
        say("test: WRONG: arguments of accept\n");
    /* The tests send before they connect again; a real backend would not wait here. */
    poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 1000);
    if (read(fd, text, sizeof text - 1) < 0)
        say("test: WRONG: nothing to read\n");
    if (write(fd, greeting, strlen(greeting)) < 0)
        say("test: WRONG: not writable\n");
    if (strcmp(text, "keep\n") == 0) {
        kept[kept_count++] = fd;
        return;
    }
    close(fd);
    for (int64_t i = rpd_option_integer(service, "gone"); i > 0; i--)
        rpd_client_gone(service, fd);
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    if (rpd_accept(service, listener, NULL, &kept) != -1)
        say("test: WRONG: accept without a function\n");
    if (rpd_serve_connections(service, listener) != -1)
        say("test: WRONG: connections without on_data\n");
    if (rpd_accept(service, listener, accept_client, &kept) < 0)
        return rpd_serve_fail(service, "cannot accept on %s", rpd_listener_text(listener));
    if (rpd_accept(service, listener, accept_client, &kept) != -1)
        say("test: WRONG: a listener was given away twice\n");
    return 0;
}

static void *load(struct rpd_load *load)
{
    const int64_t ms = rpd_option_integer(rpd_load_service(load), "load_ms");

    if (ms > 0 && !rpd_load_wait(load, (unsigned)ms))
        return NULL;
    return &state_of_all;
}

static void on_drain(struct rpd_service *service, void *state)
{
    (void)state;
    if (rpd_option_boolean(service, "stubborn"))
        return;
    while (kept_count > 0) {
        if (write(kept[--kept_count], "bye\n", 4) < 0)
            say("test: WRONG: a kept client is gone\n");
        close(kept[kept_count]);
        rpd_client_gone(service, kept[kept_count]);
    }
}

static void stop(struct rpd_service *service, void *state)
{
    (void)service, (void)state;
    while (kept_count > 0)
        close(kept[--kept_count]);
    say("test: stopped\n");
}

RPD_BACKEND(accepts, .summary = "Takes its clients itself", .options = options, .serve = serve,
            .load = load, .on_drain = on_drain, .stop = stop);
