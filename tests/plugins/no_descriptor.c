/* Has rpd's note, but no descriptor, as if too much had been stripped. */
#include <rpd/backend.h>

RPD_NOTE_(note, RPD_NOTE_BACKEND, "no_descriptor");
