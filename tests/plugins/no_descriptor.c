/* Has rpd's note, but no descriptor: as if it had been stripped too far. */
#include <rpd/backend.h>

RPD_NOTE_(note, RPD_NOTE_BACKEND, "no_descriptor");
