/* ABI v1 as numbers and types. It never changes, and it compiles against every
 * public header of ABI 1: structs lie as they lay, enum values are what they
 * were, functions have the types that they had. (Descriptors may be larger.)
 * For machines with 64-bit pointers; rpd has no others. */
#include <rpd/backend.h>
#include <rpd/main.h>

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type ": its size")
#define AT_LEAST(type, bytes) _Static_assert(sizeof(struct type) >= (bytes), #type ": its size")
#define FIELD(type, field, at, bytes)                                                              \
    _Static_assert(offsetof(struct type, field) == (at) &&                                         \
                       sizeof(((struct type *)0)->field) == (bytes),                               \
                   #type "." #field ": its place or size")
#define VALUE(name, value) _Static_assert((name) == (value), #name ": its value")

/* ---- structs: the size; fields with their offset and size ---- */

SIZE(rpd_span, 16);
FIELD(rpd_span, data, 0, 8);
FIELD(rpd_span, size, 8, 8);

SIZE(rpd_bound, 172);
FIELD(rpd_bound, outcome, 0, 4);
FIELD(rpd_bound, fd, 4, 4);
FIELD(rpd_bound, error_number, 8, 4);
FIELD(rpd_bound, message, 12, 160);

SIZE(rpd_option, 64);
FIELD(rpd_option, name, 0, 8);
FIELD(rpd_option, meaning, 8, 8);
FIELD(rpd_option, type, 16, 4);
FIELD(rpd_option, string_default, 24, 8);
FIELD(rpd_option, default_value, 32, 8);
FIELD(rpd_option, min, 40, 8);
FIELD(rpd_option, max, 48, 8);
FIELD(rpd_option, integer_default, 56, 8);

SIZE(rpd_load_part, 48);
FIELD(rpd_load_part, name, 0, 8);
FIELD(rpd_load_part, load, 8, 8);
FIELD(rpd_load_part, attach, 16, 8);
FIELD(rpd_load_part, discard, 24, 8);
FIELD(rpd_load_part, arg, 32, 8);
FIELD(rpd_load_part, optional, 40, 1);

SIZE(rpd_progress, 32);
FIELD(rpd_progress, ready, 0, 1);
FIELD(rpd_progress, fraction, 8, 8);
FIELD(rpd_progress, eta_ms, 16, 8);
FIELD(rpd_progress, parts, 24, 4);
FIELD(rpd_progress, loaded, 28, 4);

SIZE(rpd_state_part, 128);
FIELD(rpd_state_part, name, 0, 48);
FIELD(rpd_state_part, unit, 48, 16);
FIELD(rpd_state_part, state, 64, 4);
FIELD(rpd_state_part, flags, 68, 4);
FIELD(rpd_state_part, done, 72, 8);
FIELD(rpd_state_part, total, 80, 8);
FIELD(rpd_state_part, rate_per_1000s, 88, 8);
FIELD(rpd_state_part, eta_ms, 96, 8);
FIELD(rpd_state_part, moved_us, 104, 8);
FIELD(rpd_state_part, attempts, 112, 4);

SIZE(rpd_state_page, 16384);
FIELD(rpd_state_page, magic, 0, 8);
FIELD(rpd_state_page, layout, 8, 4);
FIELD(rpd_state_page, size, 12, 4);
FIELD(rpd_state_page, pid, 16, 4);
FIELD(rpd_state_page, phase, 20, 4);
FIELD(rpd_state_page, start_time, 24, 8);
FIELD(rpd_state_page, turned_us, 32, 8);
FIELD(rpd_state_page, boot_id, 40, 16);
FIELD(rpd_state_page, reserved_for_ever, 56, 8);
FIELD(rpd_state_page, service, 64, 64);
FIELD(rpd_state_page, build, 128, 64);
FIELD(rpd_state_page, bound_us, 192, 8);
FIELD(rpd_state_page, phase_us, 200, 8);
FIELD(rpd_state_page, ready_us, 208, 8);
FIELD(rpd_state_page, turns, 216, 8);
FIELD(rpd_state_page, late_us, 224, 8);
FIELD(rpd_state_page, latest_us, 232, 8);
FIELD(rpd_state_page, warmup, 240, 4);
FIELD(rpd_state_page, flags, 244, 4);
FIELD(rpd_state_page, clients_held, 248, 8);
FIELD(rpd_state_page, clients_active, 256, 8);
FIELD(rpd_state_page, clients_accepted, 264, 8);
FIELD(rpd_state_page, clients_refused, 272, 8);
FIELD(rpd_state_page, clients_left, 280, 8);
FIELD(rpd_state_page, clients_cut, 288, 8);
FIELD(rpd_state_page, accept_pauses, 296, 8);
FIELD(rpd_state_page, jobs, 304, 8);
FIELD(rpd_state_page, jobs_refused, 312, 8);
FIELD(rpd_state_page, errors, 320, 8);
FIELD(rpd_state_page, error_time_s, 328, 8);
FIELD(rpd_state_page, error, 336, 256);
FIELD(rpd_state_page, part_count, 592, 4);
FIELD(rpd_state_page, parts_loaded, 596, 4);
FIELD(rpd_state_page, load_permille, 600, 4);
FIELD(rpd_state_page, load_eta_ms, 608, 8);
FIELD(rpd_state_page, parts, 1024, 15360);

AT_LEAST(rpd_backend, 136);
FIELD(rpd_backend, struct_size, 0, 4);
FIELD(rpd_backend, abi, 4, 4);
FIELD(rpd_backend, name, 8, 8);
FIELD(rpd_backend, summary, 16, 8);
FIELD(rpd_backend, version, 24, 8);
FIELD(rpd_backend, options, 32, 8);
FIELD(rpd_backend, serve, 40, 8);
FIELD(rpd_backend, load, 48, 8);
FIELD(rpd_backend, unload, 56, 8);
FIELD(rpd_backend, on_ready, 64, 8);
FIELD(rpd_backend, on_connect, 72, 8);
FIELD(rpd_backend, on_data, 80, 8);
FIELD(rpd_backend, on_writable, 88, 8);
FIELD(rpd_backend, on_close, 96, 8);
FIELD(rpd_backend, on_drain, 104, 8);
FIELD(rpd_backend, stop, 112, 8);
FIELD(rpd_backend, warmup, 120, 4);
FIELD(rpd_backend, serves_without_state, 124, 1);
FIELD(rpd_backend, on_busy, 128, 8);

AT_LEAST(rpd_backend_bind, 16);
FIELD(rpd_backend_bind, struct_size, 0, 4);
FIELD(rpd_backend_bind, abi, 4, 4);
FIELD(rpd_backend_bind, bind, 8, 8);

SIZE(rpd_note, 84);
FIELD(rpd_note, owner_size, 0, 4);
FIELD(rpd_note, body_size, 4, 4);
FIELD(rpd_note, type, 8, 4);
FIELD(rpd_note, owner, 12, 4);
FIELD(rpd_note, abi, 16, 4);
FIELD(rpd_note, backend, 20, 64);

/* ---- values ---- */

VALUE(RPD_BIND_LISTENING, 1);
VALUE(RPD_BIND_INVALID, 2);
VALUE(RPD_BIND_IN_USE, 3);
VALUE(RPD_BIND_IO, 4);
VALUE(RPD_BIND_OTHER, 5);
VALUE(RPD_OPTION_END, 0);
VALUE(RPD_OPTION_STRING_TYPE, 1);
VALUE(RPD_OPTION_INTEGER_TYPE, 2);
VALUE(RPD_OPTION_NUMBER_TYPE, 3);
VALUE(RPD_OPTION_BOOLEAN_TYPE, 4);
VALUE(RPD_LOG_ERROR, 0);
VALUE(RPD_LOG_WARNING, 1);
VALUE(RPD_LOG_INFO, 2);
VALUE(RPD_LOG_DEBUG, 3);
VALUE(RPD_STATE_LAYOUT, 1);
VALUE(RPD_STATE_SIZE, 16384);
VALUE(RPD_STATE_PARTS, 120);
VALUE(RPD_PHASE_STARTING, 0);
VALUE(RPD_PHASE_WARMING, 1);
VALUE(RPD_PHASE_READY, 2);
VALUE(RPD_PHASE_DRAINING, 3);
VALUE(RPD_PHASE_STOPPING, 4);
VALUE(RPD_PHASE_STOPPED, 5);
VALUE(RPD_WARMUP_HOLD, 0);
VALUE(RPD_WARMUP_SERVE, 1);
VALUE(RPD_WARMUP_REFUSE, 2);
VALUE(RPD_WARMUP_BACKLOG, 3);
VALUE(RPD_PART_WAITING, 0);
VALUE(RPD_PART_LOADING, 1);
VALUE(RPD_PART_STALLED, 2);
VALUE(RPD_PART_PAUSED, 3);
VALUE(RPD_PART_LOADED, 4);
VALUE(RPD_PART_FAILED, 5);
VALUE(RPD_PART_OPTIONAL, 1);
VALUE(RPD_STATE_DEGRADED, 1);
VALUE(RPD_NOTE_BACKEND, 1);
VALUE(RPD_NOTE_OWN_BIND, 2);
VALUE(RPD_ABI, 1);
VALUE(RPD_STATE_STALL_US, 900000);

/* ---- functions: a declaration that is not the header's is an error ---- */

const struct sockaddr *rpd_endpoint_address(const struct rpd_endpoint *endpoint,
                                            socklen_t *ret_length);
int rpd_endpoint_backlog(const struct rpd_endpoint *endpoint);
const char *rpd_endpoint_text(const struct rpd_endpoint *endpoint);
struct rpd_bound rpd_bound_listening(int take_fd);
struct rpd_bound rpd_bound_invalid(const char *format, ...);
struct rpd_bound rpd_bound_in_use(void);
struct rpd_bound rpd_bound_io(int error_number);
struct rpd_bound rpd_bound_other(const char *format, ...);
struct rpd_bound rpd_bind_plainly(const struct rpd_endpoint *endpoint);
const char *rpd_option_string(const struct rpd_service *service, const char *name);
int64_t rpd_option_integer(const struct rpd_service *service, const char *name);
double rpd_option_number(const struct rpd_service *service, const char *name);
bool rpd_option_boolean(const struct rpd_service *service, const char *name);
struct rpd_span rpd_conn_input(const struct rpd_conn *conn);
void rpd_conn_consume(struct rpd_conn *conn, size_t bytes);
bool rpd_conn_read_line(struct rpd_conn *conn, struct rpd_span *ret_line);
void rpd_conn_pause(struct rpd_conn *conn);
void rpd_conn_resume(struct rpd_conn *conn);
bool rpd_conn_input_ended(const struct rpd_conn *conn);
int rpd_conn_write(struct rpd_conn *conn, const void *data, size_t size);
int rpd_conn_printf(struct rpd_conn *conn, const char *format, ...);
size_t rpd_conn_output_size(const struct rpd_conn *conn);
void rpd_conn_finish(struct rpd_conn *conn);
void rpd_conn_abort(struct rpd_conn *conn);
void rpd_conn_keep(struct rpd_conn *conn);
void rpd_conn_release(struct rpd_conn *conn);
bool rpd_conn_is_open(const struct rpd_conn *conn);
void rpd_conn_set_data(struct rpd_conn *conn, void *data);
void *rpd_conn_data(const struct rpd_conn *conn);
struct rpd_service *rpd_conn_service(const struct rpd_conn *conn);
int rpd_conn_fd(const struct rpd_conn *conn);
int rpd_job_submit(struct rpd_service *service, rpd_job_run_fn run, rpd_job_done_fn done,
                   void *arg);
const struct rpd_service *rpd_job_service(const struct rpd_job *job);
bool rpd_job_cancelled(const struct rpd_job *job);
int rpd_load_add_part(struct rpd_load *load, const struct rpd_load_part *part);
void *rpd_load_arg(const struct rpd_load *load);
void rpd_load_progress(struct rpd_load *load, uint64_t done, uint64_t total, const char *unit);
bool rpd_load_cancelled(const struct rpd_load *load);
bool rpd_load_wait(struct rpd_load *load, unsigned milliseconds);
void *rpd_load_fail(struct rpd_load *load, const char *format, ...);
const struct rpd_service *rpd_load_service(const struct rpd_load *load);
const char *rpd_service_name(const struct rpd_service *service);
void *rpd_service_state(const struct rpd_service *service);
struct event_base *rpd_service_event_base(const struct rpd_service *service);
struct rpd_progress rpd_service_progress(const struct rpd_service *service);
void rpd_log(const struct rpd_service *service, enum rpd_log_level level, const char *format, ...);
const char *rpd_listener_text(const struct rpd_listener *listener);
int rpd_accept(struct rpd_service *service, struct rpd_listener *listener, rpd_accept_fn accept,
               void *arg);
void rpd_client_gone(struct rpd_service *service, int fd);
int rpd_serve_connections(struct rpd_service *service, struct rpd_listener *listener);
int rpd_serve_fail(struct rpd_service *service, const char *format, ...);
int rpd_main(int argc, char **argv);
