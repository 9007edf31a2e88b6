/* libevent, as librpd uses it.
 *
 * librpd does not name libevent among what it needs (CMakeLists.txt says why);
 * the daemon loads it once the endpoints are up, before anything here is called.
 * Until then its functions are missing, which the linker only allows for weak
 * ones. A function that is not in this list fails to link into a program. */
#ifndef FRAMEWORK_LIBEVENT_H
#define FRAMEWORK_LIBEVENT_H

#include <event2/event.h>
#include <event2/event_struct.h>

#pragma weak event_active
#pragma weak event_add
#pragma weak event_assign
#pragma weak event_base_free
#pragma weak event_base_loop
#pragma weak event_base_loopbreak
#pragma weak event_base_new_with_config
#pragma weak event_config_free
#pragma weak event_config_new
#pragma weak event_config_set_flag
#pragma weak event_del
#pragma weak event_free
#pragma weak event_get_base
#pragma weak event_new
#pragma weak event_set_log_callback
#pragma weak libevent_global_shutdown

#endif
